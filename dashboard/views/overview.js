// The loop as a picture, live, and what needs attention, first.

import { get, path } from "/api/dashboard/api.js";
import { h, put, redraw, s } from "/api/dashboard/dom.js";
import { ago, basename, count, decimal, duration, percent, plural, words } from "/api/dashboard/format.js";

const SECONDS_ACTIVE = 3;
const SECONDS_QUIET = 15;

export async function show(content, { signal, every }) {
  let busy = false;
  const heading = h("h1", {}, "Overview");
  const attention = part("section", { "aria-labelledby": "attention", "aria-live": "polite" }, notices);
  const loop = part("ol.loop", { "aria-label": "The loop, from labels to predictions and back" }, stations);
  const files = part("section", { "aria-label": "Last files" }, latest);
  await every(() => (busy ? SECONDS_ACTIVE : SECONDS_QUIET), async () => {
    const told = await get(path("summary"), { signal });
    busy = Boolean(told.training) || told.images.batched > 0 || told.images.waiting > 0;
    attention.show(told.attention);
    // As time goes by, "a minute ago" is another one.
    loop.show({ ...told, attention: null, generated_at: told.generated_at.slice(0, 16) });
    files.show(told.files);
    if (!content.childElementCount) put(content, heading, attention.element, h("h2", {}, "The loop"), loop.element, files.element);
  });
}

/** A part of the view that is drawn anew when what it shows has changed. */
function part(selector, attributes, draw) {
  const element = h(selector, attributes);
  let last = "";
  return {
    element,
    show(value) {
      const text = JSON.stringify(value);
      if (text !== last) redraw(element, draw(value));
      last = text;
    },
  };
}

function notices(attention) {
  if (!attention.length) return [h("h2.visually-hidden", { id: "attention" }, "What needs attention"), h("p.notice.good", {}, "Nothing needs you. The loop runs by itself.")];
  return [h("h2", { id: "attention" }, "What needs attention"),
    h("ul.plain", {}, attention.map((each) => h(`li.notice.${each.severity}`, {},
      h("p", {}, h("span.visually-hidden", {}, `${each.severity}: `), each.text, each.link ? [" ", h("a", { href: each.link }, "Look", h("span.visually-hidden", {}, " at it"))] : null))))];
}

function stations(told) {
  const { training, champion, images } = told;
  const exported = told.export;
  const waiting = `${count(images.waiting)}${images.waiting_more ? "+" : ""}`;
  return [
    station("Label export", exported ? `#/runs/exports/${exported.id}` : "#/runs", exported && /refused|failed/.test(exported.state) && "bad", exported
      ? [big(exported.state), h("p", {}, `${plural(exported.images, "image")}, ${plural(exported.labels, "label")}`), small(basename(exported.export.replace(/\/$/, "")), ago(exported.updated_at))]
      : [big("None yet"), h("p", {}, "Export labels from Azure ML, or correct images under Review.")], "right", Boolean(training)),
    station("Training", training ? `#/runs/jobs/${training.job}` : "#/runs", training && (training.error ? "bad" : "active"), training
      ? [big(training.step ? words(training.step) : training.state), h("progress", { max: 1, value: training.progress, "aria-label": "Progress of the training" }), h("p", {}, `${percent(training.progress)} after ${duration(training.elapsed_seconds)}, ${decimal(training.node_hours, 2)} node hours`), training.error ? h("p", {}, training.error) : null]
      : [big("Idle"), h("p", {}, "Starts with the next label export.")], "right", Boolean(training)),
    station("Model in use", champion ? `#/models/${champion.version}` : "#/models", false, champion
      ? [big(`${champion.model}:${champion.version}`), h("p", {}, `${words(champion.metric)} ${decimal(champion.score)}`), small("promoted", ago(champion.promoted_at))]
      : [big("None yet"), h("p", {}, "The first training makes one.")], "down", images.batched > 0),
    station("Images", "#/images", images.batched > 0 && "active", [
      big(`${waiting} waiting`), h("p", {}, told.open_batches ? `${count(images.batched)} in ${plural(told.open_batches, "batch", "batches")}` : "none in a batch"),
      small("drop more into storage, or under Images")], "left", images.batched > 0),
    station("Predictions", "#/predictions", images.failed_today > 0 && "bad", [
      big(`${count(images.scored_today)} today`), h("p", {}, images.failed_today ? `${plural(images.failed_today, "image")} with an error` : "no errors"),
      small("last file", told.files.length ? ago(told.files[0].created) : "none yet")], "left", false),
    station("Review", "#/review", false, [
      big(plural(told.review.corrections, "correction")), h("p", {}, told.review.unexported ? `${count(told.review.unexported)} not exported yet` : "all exported"),
      small("what you correct trains the next model")], "up", false),
  ];
}

function station(title, link, state, inside, direction, flows) {
  return h("li", {},
    h("div", { class: `station ${state || ""}` }, h("h3", {}, h("a", { href: link }, title)), inside),
    s("svg", { class: `arrow ${direction} ${flows ? "active" : ""}`, viewBox: "0 0 32 32", "aria-hidden": true }, s("path", { d: "M4 16h23" }), s("path", { d: "M20 9l7 7-7 7" })));
}

const big = (text) => h("p.big", {}, text);
const small = (...parts) => h("p.muted", {}, parts.join(" "));

function latest(files) {
  if (!files.length) return [];
  return [h("h2", {}, "Last files"), h("ul.plain.card", {}, files.map((each) => h("li", {},
    h("a", { href: `#/runs/batches/${each.batch}` }, each.files.length ? basename(each.files[0]) : each.batch), ` · ${plural(each.images, "image")}`,
    each.errors ? ` · ${plural(each.errors, "error")}` : "", ` · ${each.model} · `, h("span.muted", {}, ago(each.created)))))];
}
