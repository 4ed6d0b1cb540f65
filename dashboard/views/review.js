// A person confirms or corrects labels, one image after the other, with the keyboard. What is corrected trains the next
// model.

import { call, get, path, query } from "/api/dashboard/api.js";
import { confirmed, empty, h, put, toast } from "/api/dashboard/dom.js";
import { basename, decimal, plural } from "/api/dashboard/format.js";
import { thumbnail } from "/api/dashboard/thumbnails.js";

// All but `s`, which skips.
const KEYS = "1234567890abcdefghijklmnopqrtuvwxyz";
const ORDERS = [["uncertain", "least certain first"], ["surprising", "most surprising first"]];
const FORMATS = [["jsonl", "JSON Lines"], ["coco", "COCO"]];

export async function show(content, { rest, parameters, signal }) {
  const order = parameters.get("order") === "surprising" ? "surprising" : "uncertain";
  // Keys are those of the image alone, so that nobody changes labels by typing elsewhere (WCAG 2.1.4).
  const panel = h("section", { tabindex: -1, "aria-label": "Image to review", onkeydown: (event) => pressed(event) });
  const done = h("span.muted", { role: "status" });
  const format = h("select", { name: "format" }, FORMATS.map(([value, text]) => h("option", { value }, text)));
  const queue = [];
  let keys = () => false;
  let labels = [];
  let cursor = null;
  let finished = false;
  let corrected = 0;

  put(content, h("h1", {}, "Review"), h("p.lead", {}, "The images that the model knows least about come first. What you confirm or correct becomes a label export that trains the next model."), panel,
    h("div.row.below", {},
      h("label", {}, "Order", h("select", { name: "order", onchange: (event) => (location.hash = `#/review?order=${event.target.value}`) }, ORDERS.map(([value, text]) => h("option", { value, selected: value === order }, text)))),
      h("label", {}, "Corrections as", format),
      h("button", { type: "button", onclick: () => exportAll() }, "Export corrections and train"), done));

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
    if (image) {
      draw(image);
    } else {
      keys = () => false;
      put(panel, empty("Nothing to review", rest ? "That image is corrected." : "New predictions come here; images without a model, too."));
    }
    panel.focus({ preventScroll: true });
  }

  function draw(image) {
    const known = [...new Set([...labels, ...image.labels, ...(image.correction?.labels ?? [])])];
    const chosen = new Set(image.correction?.labels ?? image.labels);
    const boxes = h("fieldset.choices", {}, h("legend.visually-hidden", {}, "Labels"));
    const choice = (label, index) => h("label.choice", {},
      h("input", { type: "checkbox", checked: chosen.has(label), onchange: (event) => (event.target.checked ? chosen.add(label) : chosen.delete(label)) }),
      h("span", {}, label, image.probabilities?.[label] === undefined ? null : h("span.muted", {}, ` ${decimal(image.probabilities[label], 2)}`)),
      index < KEYS.length ? h("kbd", { "aria-hidden": true }, KEYS[index]) : null);
    boxes.append(...known.map(choice));

    const name = h("input", { name: "new", placeholder: "another label", "aria-label": "Another label" });
    const another = h("form.row", { onsubmit: (event) => {
      event.preventDefault();
      const label = name.value.trim();
      if (label) addLabel(label);
      name.value = "";
    } }, name, h("button", {}, "Add"));
    function addLabel(label) {
      let index = known.indexOf(label);
      if (index < 0) {
        index = known.push(label) - 1;
        boxes.append(choice(label, index));
        if (!labels.includes(label)) labels.push(label);
      }
      boxes.querySelectorAll("input")[index].checked = true;
      chosen.add(label);
      boxes.querySelectorAll("input")[index].focus();
    }

    const save = h("button.primary", { type: "button", onclick: () => submit() }, "Save and go on ", h("kbd", { "aria-hidden": true }, "Enter"));
    const skip = h("button", { type: "button", onclick: () => advance() }, "Skip ", h("kbd", { "aria-hidden": true }, "s"));
    let busy = false;

    async function submit() {
      if (busy) return;
      busy = true;
      try {
        await call("PUT", path("corrections", image.path), { etag: image.etag, labels: [...chosen] });
        corrected += 1;
        done.textContent = `${plural(corrected, "image")} reviewed`;
        await next();
      } catch (error) {
        busy = false;
        if (!signal.aborted) toast(error.message, "error");
      }
    }
    const advance = () => next().catch((error) => toast(error.message, "error"));

    keys = (pressedKey) => {
      const index = KEYS.indexOf(pressedKey);
      if (pressedKey === "enter") submit();
      else if (pressedKey === "s") advance();
      else if (index >= 0 && index < known.length) boxes.querySelectorAll("input")[index].click();
      else return false;
      return true;
    };
    put(panel, h("div.split", {},
      thumbnail(image, { size: 1024, alt: `The image ${image.path}`, large: true }),
      h("div.card", {}, h("h2", {}, h("a", { href: `#/images/${encodeURIComponent(image.path)}` }, basename(image.path))), image.why ? h("p.muted", {}, image.why) : null, boxes, another, h("div.actions", {}, save, skip))));
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox])")) return;
    // On a link or another button Enter is its own.
    if (event.key === "Enter" && event.target.matches("a, button:not(.primary)")) return;
    if (keys(event.key.toLowerCase())) event.preventDefault();
  }

  async function exportAll() {
    if (!(await confirmed("Export the corrections?", "They are written as a label export beside the labels of the last training; that starts a training by itself.", "Export and train"))) return;
    try {
      const told = await call("POST", path("corrections", "export"), { format: format.value });
      toast(told.created ? `Exported to ${told.export}. The training starts when the export has been quiet for a while; see Runs.` : `The same corrections were exported before, to ${told.export}.`);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  if (rest) await only();
  await next();
}
