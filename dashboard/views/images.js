// The images as a grid, one image's whole story, and uploading.

import { call, get, path, query, send } from "/api/dashboard/api.js";
import { bars } from "/api/dashboard/charts.js";
import { empty, h, put, toast } from "/api/dashboard/dom.js";
import { ago, basename, plural, time } from "/api/dashboard/format.js";
import { thumbnail } from "/api/dashboard/thumbnails.js";

const STATES = ["waiting", "batched", "scored", "failed", "rejected", "superseded"];
const KIND = { scored: "good", failed: "bad", rejected: "bad", waiting: "active", batched: "active" };
const SHOWN_LABELS = 3;
const UPLOADS_AT_ONCE = 4;

export async function show(content, context) {
  if (context.rest) await story(content, context);
  else await grid(content, context);
}

export const state = (name) => h(`span.state.${KIND[name] ?? "none"}`, {}, name);

// The grid

async function grid(content, { parameters, signal }) {
  const wanted = Object.fromEntries(["state", "label", "prefix", "after", "before", "min_probability"].map((name) => [name, parameters.get(name) ?? ""]));
  const list = h("ul.grid", { "aria-label": "Images" });
  const more = h("button.more", { type: "button", hidden: true }, "Show more");
  const note = h("p.muted", { role: "status" });
  let cursor = null;

  async function load() {
    more.disabled = true;
    try {
      const before = list.childElementCount;
      do {
        const page = await get(path("images") + query({ ...wanted, cursor, limit: 60 }), { signal });
        list.append(...page.images.map((image) => h("li", {}, tile(image))));
        cursor = page.next;
        note.textContent = cursor && list.childElementCount === before ? "Looking further back…" : "";
      } while (cursor && list.childElementCount === before && !signal.aborted);
    } finally {
      more.disabled = false;
      more.hidden = !cursor;
    }
    if (!list.childElementCount) put(note, empty("No image here", wanted.state || wanted.label || wanted.prefix ? "No image matches these filters." : "Upload some above, or drop them into the images container."));
  }

  more.addEventListener("click", () => load().catch((error) => toast(error.message, "error")));
  put(content, h("h1", {}, "Images"), h("p.lead", {}, "Newest first."), upload(load, list, () => (cursor = null)), filters(wanted), list, note, more);
  await load();
}

function tile(image) {
  const best = Object.entries(image.probabilities ?? {}).sort((one, other) => other[1] - one[1]).slice(0, SHOWN_LABELS);
  return h("a.tile", { href: `#/images/${encodeURIComponent(image.path)}` },
    thumbnail(image),
    h("div.tile-text", {},
      h("span.tile-name", { title: image.path }, basename(image.path)),
      best.length ? bars(best.map(([label, value]) => ({ label, value, strong: image.labels.includes(label) })), "Most probable labels") : null,
      h("span", {}, state(image.state), " ", h("span.muted", {}, image.error || ago(image.scored_at ?? image.arrived)))));
}

function filters(wanted) {
  const field = (name, title, attributes) => h("label", {}, title, h("input", { name, value: wanted[name], ...attributes }));
  return h("form.row.card", { "aria-label": "Filters", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/images${query(Object.fromEntries(new FormData(event.target)))}`;
  } },
  h("label", {}, "State", h("select", { name: "state" }, h("option", { value: "" }, "all"), STATES.map((each) => h("option", { value: each, selected: each === wanted.state }, each)))),
  field("label", "Label", { placeholder: "exactly" }),
  field("prefix", "Path begins with"),
  field("min_probability", "Probability from", { type: "number", min: 0, max: 1, step: 0.05 }),
  field("after", "Since", { type: "date" }),
  field("before", "Until", { type: "date" }),
  h("button", {}, "Filter"));
}

// Uploading

function upload(reload, list, reset) {
  const input = h("input", { type: "file", multiple: true, accept: "image/*,.heic,.heif,.jp2,.tif,.tiff", "aria-label": "Images to upload", onchange: () => take(input.files) });
  const progress = h("span.muted", { role: "status" });
  const area = h("div.drop", {
    ondragover: (event) => { event.preventDefault(); area.classList.add("over"); },
    ondragleave: () => area.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); area.classList.remove("over"); take(event.dataTransfer.files); },
  }, h("span", {}, "Drop images here, or"), input, progress);

  async function take(files) {
    const rest = [...files];
    const total = rest.length;
    const folder = `uploads/${new Date().toISOString().slice(0, 10)}`;
    let done = 0;
    let failed = 0;
    async function worker() {
      for (let file = rest.shift(); file; file = rest.shift()) {
        try {
          await send("PUT", path("images", folder, file.name), { body: file, headers: { "Content-Type": file.type || "application/octet-stream" } });
          done += 1;
        } catch (error) {
          failed += 1;
          toast(`${file.name}: ${error.message}`, "error");
        }
        progress.textContent = `${done} of ${total} uploaded${failed ? `, ${failed} failed` : ""}`;
      }
    }
    await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, worker));
    input.value = "";
    if (!done) return;
    progress.textContent = `${plural(done, "image")} uploaded; they appear when they have been checked.`;
    for (const wait of [1500, 4000, 8000]) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (!area.isConnected) return;
      put(list);
      reset();
      await reload().catch((error) => toast(error.message, "error"));
    }
  }
  return area;
}

// One image

async function story(content, { rest, signal, every }) {
  let last = "";
  await every(() => 5, async () => {
    const image = await get(path("images", rest), { signal });
    if (JSON.stringify(image) === last) return;
    last = JSON.stringify(image);
    const [newest] = image.contents;
    put(content, h("p", {}, h("a", { href: "#/images" }, "← All images")), h("h1", {}, basename(image.path)), h("p.lead", {}, image.path, image.exists ? "" : " · no longer in storage"),
      h("div.split", {},
        image.exists ? Object.assign(thumbnail({ path: image.path, etag: newest?.etag }, 1024), { alt: `The image ${image.path}`, className: "thumbnail large" }) : empty("The image is gone", "What was predicted for it stays."),
        h("div", {}, image.contents.map((each, index) => chapter(each, index)), h("p", {}, h("a.button", { href: `#/review/${encodeURIComponent(image.path)}` }, "Correct its labels")))));
  }, signal);
}

function chapter(each, index) {
  const probable = Object.entries(each.probabilities ?? {}).sort((one, other) => other[1] - one[1]);
  return h("section.card", {},
    h("h2", { id: `content-${index}` }, index ? "Earlier content" : "What became of it", " ", state(each.state)),
    h("ol.story", {},
      h("li", {}, "Arrived ", time(each.arrived), h("br"), h("span.muted", {}, "content ", h("code", {}, each.etag))),
      each.prepared ? h("li", {}, "Converted once, for the model's loader", h("br"), h("code", {}, each.prepared)) : null,
      each.batch ? h("li", {}, "Went into batch ", h("a", { href: `#/runs/batches/${each.batch}` }, each.batch), each.reason ? [h("br"), h("span.muted", {}, each.reason)] : null) : null,
      each.scored_at ? h("li", {}, `Scored by ${each.model} `, time(each.scored_at)) : null,
      each.error ? h("li", {}, "Ended with an error: ", each.error) : null,
      each.correction ? h("li", {}, `Corrected by ${each.correction.who} `, time(each.correction.when), ": ", each.correction.labels.join(", ") || "none of the labels") : null),
    probable.length ? bars(probable.map(([label, value]) => ({ label, value, strong: each.labels.includes(label), mark: each.thresholds?.[label] })), "Probabilities of all labels") : null);
}
