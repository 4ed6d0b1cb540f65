// The images as a grid, one image's whole story, and uploading.

import { get, path, query } from "/api/dashboard/api.js";
import { bars } from "/api/dashboard/charts.js";
import { empty, h, put, redraw, toast } from "/api/dashboard/dom.js";
import { ago, basename, nextDay, time } from "/api/dashboard/format.js";
import { thumbnail } from "/api/dashboard/thumbnails.js";
import { uploading } from "/api/dashboard/uploading.js";

const STATES = ["scored", "failed", "rejected", "waiting", "batched"];
// What is not scored yet has no labels, and is listed in the order of its turn.
const UNSCORED = new Set(["waiting", "batched"]);
const OF_SCORED = ["label", "min_probability", "after", "before"];
const KIND = { scored: "good", failed: "bad", rejected: "bad", waiting: "active", batched: "active" };
const SHOWN_LABELS = 3;
const PAGE = 60;

export async function show(content, context) {
  if (context.rest) await story(content, context);
  else await grid(content, context);
}

const state = (name) => h(`span.state.${KIND[name] ?? "none"}`, {}, name);

// The grid

async function grid(content, { parameters, signal, every }) {
  const wanted = Object.fromEntries(["state", "prefix", ...OF_SCORED].map((name) => [name, parameters.get(name) ?? ""]));
  if (UNSCORED.has(wanted.state)) for (const name of OF_SCORED) wanted[name] = "";
  const asked = { ...wanted, before: wanted.before && nextDay(wanted.before) };
  const list = h("ul.grid", { "aria-label": "Images" });
  const more = h("button.more", { type: "button", hidden: true }, "Show more");
  const note = h("div.muted", { role: "status" });
  const labels = h("datalist", { id: "known-labels" });
  const seen = new Set();
  let cursor = null;

  async function load() {
    more.disabled = true;
    try {
      const before = list.childElementCount;
      do {
        const page = await get(path("images") + query({ ...asked, cursor, limit: PAGE }), { signal });
        list.append(...page.images.map((image) => h("li", {}, tile(image))));
        for (const image of page.images) for (const label of Object.keys(image.probabilities)) seen.add(label);
        cursor = page.next;
        note.textContent = cursor && list.childElementCount === before ? "Looking further back…" : "";
      } while (cursor && list.childElementCount === before && !signal.aborted);
      put(labels, [...seen].sort().map((label) => h("option", { value: label })));
    } finally {
      more.disabled = false;
      more.hidden = !cursor;
    }
    if (!list.childElementCount) put(note, empty("No image here", Object.values(wanted).some(Boolean) ? "No image matches these filters." : "Upload some above, or drop them into the images container."));
  }

  async function loadMore() {
    const before = list.childElementCount;
    await load();
    // The button may be gone; and whoever asked for more wants to go on with the first of them.
    list.children[before]?.querySelector("a").focus({ preventScroll: true });
  }

  more.addEventListener("click", () => loadMore().catch((error) => toast(error.message, "error")));
  put(content, h("h1", {}, "Images"), h("p.lead", {}, UNSCORED.has(wanted.state) ? "In the order of their turn." : "Newest first."), uploading(tile, { signal, every }), filters(wanted), labels, list, note, more);
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
  const form = h("form.row.card", { "aria-label": "Filters", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/images${query(Object.fromEntries(new FormData(form)))}`;
  }, onchange: () => suit() },
  h("label", {}, "State", h("select", { name: "state" }, h("option", { value: "" }, "scored, or could not be"), STATES.map((each) => h("option", { value: each, selected: each === wanted.state }, each)))),
  field("label", "Label", { placeholder: "any", size: 13, list: "known-labels" }),
  field("min_probability", "Probability from", { type: "number", min: 0, max: 1, step: 0.01, placeholder: "0" }),
  field("prefix", "Path begins with", { size: 13 }),
  field("after", "Since", { type: "date" }),
  field("before", "Until, with that day", { type: "date" }),
  h("button", {}, "Filter"));
  const suit = () => {
    for (const name of OF_SCORED) form.elements[name].disabled = UNSCORED.has(form.elements.state.value);
  };
  suit();
  return form;
}

// One image

async function story(content, { rest, signal, every }) {
  let last = "";
  await every(() => 5, async () => {
    const image = await get(path("images", rest), { signal });
    if (JSON.stringify(image) === last) return;
    last = JSON.stringify(image);
    const newest = image.contents[0] ?? {};
    redraw(content, h("p", {}, h("a", { href: "#/images" }, "← All images")), h("h1", {}, basename(image.path)), h("p.lead", {}, image.path, image.exists ? "" : " · no longer in storage"),
      h("div.split", {},
        image.exists ? thumbnail({ ...newest, path: image.path, etag: image.etag }, { size: 1024, alt: `The image ${image.path}`, large: true }) : empty("The image is gone", "What was predicted for it stays."),
        h("div", {}, image.contents.map(chapter), image.contents.length ? null : empty("Not looked at yet", "The event of its arrival is on its way."),
          image.exists && image.contents.length ? h("div.actions", {}, h("a.button", { href: `#/review/${encodeURIComponent(image.path)}` }, "Correct its labels")) : null)));
  });
}

function chapter(each, index) {
  const probable = Object.entries(each.probabilities ?? {}).sort((one, other) => other[1] - one[1]);
  return h("section.card", { "aria-labelledby": `content-${index}` },
    h("h2", { id: `content-${index}` }, index ? "Earlier content" : "What became of it", " ", state(each.state)),
    h("ol.story", {},
      h("li", {}, "Arrived ", time(each.arrived), h("br"), h("span.muted", {}, "content ", h("code", {}, each.etag))),
      each.prepared ? h("li", {}, "Converted once, for the model's loader") : null,
      each.notes?.length ? h("li", {}, each.notes.join("; ")) : null,
      each.batch ? h("li", {}, "Went into batch ", h("a", { href: `#/runs/batches/${each.batch}` }, each.batch), each.reason ? [h("br"), h("span.muted", {}, each.reason)] : null) : null,
      each.scored_at ? h("li", {}, `Scored by ${each.model} `, time(each.scored_at)) : null,
      each.error ? h("li", {}, "Ended with an error: ", each.error) : null,
      each.correction ? h("li", {}, `Corrected by ${each.correction.who} `, time(each.correction.when), ": ", each.correction.labels.join(", ") || "none of the labels") : null),
    probable.length ? bars(probable.map(([label, value]) => ({ label, value, strong: each.labels.includes(label) })), "Probabilities of all labels") : null);
}
