// Images dropped onto the page go into storage, and are followed until they have their predictions.

import { get, path, query, send } from "/api/dashboard/api.js";
import { h, put, toast } from "/api/dashboard/dom.js";
import { plural } from "/api/dashboard/format.js";

const AT_ONCE = 4;
const SHOWN = 24;
// One look asks for so many of the newest images of the folder.
const LIMIT = 200;
const MAX_PAGES = 3;
const MAX_MINUTES = 15;

/** Where images can be dropped, or chosen. `tile` draws an image; `signal` and `every` are the view's. */
export function uploading(tile, { signal, every }) {
  const input = h("input", { type: "file", multiple: true, accept: "image/*,.heic,.heif,.jp2,.tif,.tiff", "aria-label": "Images to upload", onchange: () => take(input.files) });
  const progress = h("span.muted", { role: "status" });
  const area = h("div.drop", {}, h("span", {}, "Drop images here, or"), input, progress);
  const list = h("ul.grid", { "aria-label": "Images uploaded just now" });
  const section = h("section", { "aria-label": "Uploaded just now", hidden: true }, h("h2", {}, "Uploaded just now"), list);
  const folder = `uploads/${new Date().toISOString().slice(0, 10)}`;
  const open = new Map();
  let uploaded = 0;
  let begun = 0;
  let following = false;

  // Anywhere on the page: a browser would leave it for an image that is dropped beside the area.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  }, { signal });
  document.addEventListener("dragleave", (event) => area.classList.toggle("over", event.relatedTarget !== null), { signal });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    take(event.dataTransfer.files);
  }, { signal });

  async function take(files) {
    const rest = [...files];
    let failed = 0;
    async function worker() {
      for (let file = rest.shift(); file; file = rest.shift()) {
        try {
          const answer = await send("PUT", path("images", folder, file.name), { body: file, headers: { "Content-Type": file.type || "application/octet-stream" } });
          await uploadedOne(await answer.json());
        } catch (error) {
          failed += 1;
          toast(`${file.name}: ${error.message}`, "error");
        }
        tell(rest.length ? `${rest.length} to go` : failed ? `${failed} failed` : "");
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    input.value = "";
    begun = Date.now();
    if (following || !open.size) return;
    following = true;
    await every(() => Math.min(15, 2 + (Date.now() - begun) / 10_000), look).catch((error) => signal.aborted || toast(error.message, "error"));
    following = false;
  }

  function uploadedOne({ path: name, etag }) {
    uploaded += 1;
    const place = h("li", {}, tile({ path: name, etag, state: "waiting", labels: [], arrived: new Date().toISOString() }));
    open.set(`${name} ${etag}`, place);
    section.hidden = false;
    if (list.childElementCount < SHOWN) list.append(place);
  }

  /** True when all have a result, or it takes too long. */
  async function look() {
    let cursor = null;
    for (let page = 0; page < MAX_PAGES && open.size; page += 1) {
      const found = await get(path("images") + query({ prefix: `${folder}/`, limit: LIMIT, cursor }), { signal });
      for (const image of found.images) {
        const name = `${image.path} ${image.etag}`;
        if (open.has(name)) put(open.get(name), tile(image));
        open.delete(name);
      }
      cursor = found.next;
      if (!cursor) break;
    }
    const isLate = Date.now() - begun > MAX_MINUTES * 60_000;
    tell(isLate && open.size ? "those that are left take longer; the overview says how far the loop is" : "");
    return !open.size || isLate;
  }

  function tell(more) {
    const parts = [uploaded && `${plural(uploaded, "image")} uploaded`, uploaded && (open.size ? `${uploaded - open.size} predicted` : "all predicted"), more];
    progress.textContent = parts.filter(Boolean).join(", ");
  }

  return [area, section];
}
