// A person confirms or corrects labels, one image after the other, with the keyboard. What is corrected trains the next
// model.

import { call, get, path, query } from "/api/dashboard/api.js";
import { confirmed, empty, h, put, toast } from "/api/dashboard/dom.js";
import { basename, decimal, plural } from "/api/dashboard/format.js";
import { thumbnail } from "/api/dashboard/thumbnails.js";

const KEYS = "1234567890abcdefghijklmnoqrtuvwxyz";

export async function show(content, { rest, parameters, signal }) {
  const order = parameters.get("order") === "surprising" ? "surprising" : "uncertain";
  const heading = h("h1", {}, "Review");
  const panel = h("section", { "aria-label": "Image to review" });
  const done = h("span.muted", { role: "status" });
  const queue = [];
  let labels = [];
  let cursor = null;
  let finished = false;
  let corrected = 0;

  put(content, heading, h("p.lead", {}, "The images that the model knows least about come first. What you confirm or correct becomes a label export that trains the next model."), h("div.row", {},
    h("label", {}, "Order", h("select", { onchange: (event) => (location.hash = `#/review?order=${event.target.value}`) }, [["uncertain", "least certain first"], ["surprising", "most surprising first"]].map(([value, text]) => h("option", { value, selected: value === order }, text)))),
    h("button", { type: "button", onclick: () => exportAll() }, "Export corrections and train"), done), panel);

  async function fill() {
    while (!queue.length && !finished) {
      const page = await get(path("review") + query({ order, cursor, limit: 25 }), { signal });
      labels = page.labels;
      queue.push(...page.images);
      cursor = page.next;
      finished = !cursor;
    }
  }

  async function only() {
    const [image, page] = await Promise.all([get(path("images", rest), { signal }), get(path("review") + query({ limit: 1 }), { signal })]);
    labels = page.labels;
    finished = true;
    if (image.contents.length) queue.push({ ...image.contents[0], path: image.path, why: "" });
  }

  async function next() {
    await fill();
    const image = queue.shift();
    if (!image) {
      put(panel, empty("Nothing to review", rest ? "That image is corrected." : "New predictions come here; images without a model, too."));
      return;
    }
    draw(image);
  }

  function draw(image) {
    const known = [...new Set([...labels, ...image.labels, ...(image.correction?.labels ?? [])])];
    const chosen = new Set(image.correction?.labels ?? image.labels);
    const boxes = h("fieldset.choices", {}, h("legend.visually-hidden", {}, "Labels"));
    const add = h("input", { name: "new", placeholder: "another label", "aria-label": "Another label", onkeydown: (event) => {
      if (event.key === "Enter") { event.preventDefault(); addLabel(); }
    } });
    const addLabel = () => {
      const name = add.value.trim();
      if (!name) return;
      chosen.add(name);
      if (!known.includes(name)) known.push(name);
      if (!labels.includes(name)) labels.push(name);
      add.value = "";
      choices();
      boxes.querySelector("label:last-of-type input")?.focus();
    };
    const choices = () => put(boxes, h("legend.visually-hidden", {}, "Labels"), known.map((label, index) => h("label.choice", {},
      h("input", { type: "checkbox", checked: chosen.has(label), onchange: (event) => (event.target.checked ? chosen.add(label) : chosen.delete(label)) }),
      h("span", {}, label, image.probabilities?.[label] === undefined ? null : h("span.muted", {}, ` ${decimal(image.probabilities[label], 2)}`)),
      index < KEYS.length ? h("kbd", { "aria-hidden": true }, KEYS[index]) : null)));
    choices();
    const save = h("button.primary", { type: "button", onclick: () => submit() }, "Save and go on ", h("kbd", { "aria-hidden": true }, "Enter"));
    const skip = h("button", { type: "button", onclick: () => advance() }, "Skip ", h("kbd", { "aria-hidden": true }, "s"));

    async function submit() {
      save.disabled = true;
      try {
        await call("PUT", path("corrections", image.path), { etag: image.etag, labels: [...chosen] });
        corrected += 1;
        done.textContent = `${plural(corrected, "image")} reviewed`;
        await advance();
      } catch (error) {
        save.disabled = false;
        toast(error.message, "error");
      }
    }
    const advance = () => next().catch((error) => toast(error.message, "error"));

    panel.onKey = (event) => {
      const index = KEYS.indexOf(event.key.toLowerCase());
      if (event.key === "Enter") submit();
      else if (event.key === "s" || event.key === "p") advance();
      else if (index >= 0 && index < known.length) {
        const label = known[index];
        chosen.has(label) ? chosen.delete(label) : chosen.add(label);
        choices();
      } else return;
      event.preventDefault();
    };
    put(panel, h("div.split", {},
      Object.assign(thumbnail(image, 1024), { alt: `The image ${image.path}`, className: "thumbnail large" }),
      h("div.card", {}, h("h2", {}, h("a", { href: `#/images/${encodeURIComponent(image.path)}` }, basename(image.path))), image.why ? h("p.muted", {}, image.why) : null, boxes, h("div.row", {}, add, h("button", { type: "button", onclick: addLabel }, "Add")), h("div.actions", {}, save, skip))));
    if (!content.contains(document.activeElement) || document.activeElement === document.body) save.focus();
    else if (!document.activeElement.matches("input, select")) save.focus();
  }

  async function exportAll() {
    if (!(await confirmed("Export the corrections?", "They are written as a label export beside the labels of the last training; that starts a training by itself.", "Export and train"))) return;
    try {
      const told = await call("POST", path("corrections", "export"), { format: "jsonl" });
      toast(`Exported to ${told.export}. The training starts when the export has been quiet for a while; see Runs.`);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (target.matches("input:not([type=checkbox]), select, textarea, a")) return;
    if (event.key === "Enter" && target.matches("button") && !target.matches(".primary")) return;
    panel.onKey?.(event);
  }, { signal });

  if (rest) await only();
  await next();
}
