// Files of a range of days, and how often each label was predicted.

import { get, path, query, send } from "/api/dashboard/api.js";
import { lines } from "/api/dashboard/charts.js";
import { empty, h, put, redraw, table, toast } from "/api/dashboard/dom.js";
import { count, nextDay, plural } from "/api/dashboard/format.js";

const DAYS = 30;
const SHOWN_LABELS = 6;
const MAX_ROUNDS = 20;
const day = (offset) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);

export async function show(content, { signal }) {
  const counts = h("div");
  put(content, h("h1", {}, "Predictions"), h("p.lead", {}, "Every image is one row: its labels, a probability for each label, the model, or the reason why there is none."), download(), counts);
  // An answer reads a bounded number of batches anew; the next one goes on from there.
  for (let round = 0; round < MAX_ROUNDS && !signal.aborted; round += 1) {
    const told = await get(path("label-counts") + query({ days: DAYS }), { signal });
    redraw(counts, labelCounts(told));
    if (told.complete) return;
  }
}

function labelCounts({ days, complete }) {
  const title = h("h2", {}, `Labels over the last ${DAYS} days`);
  const total = {};
  for (const each of days) for (const [label, number] of Object.entries(each.labels)) total[label] = (total[label] ?? 0) + number;
  const frequent = Object.keys(total).sort((one, other) => total[other] - total[one]);
  if (!frequent.length && complete) return [title, empty("Nothing predicted yet", "When images have been scored, their labels are counted here.")];
  return [
    title,
    complete ? null : h("p.muted", {}, "The oldest batches are not counted yet."),
    h("div.card", {}, lines(days.map((each) => each.date), frequent.slice(0, SHOWN_LABELS).map((label) => ({ name: label, values: days.map((each) => each.labels[label] ?? 0) })), `How often the ${Math.min(SHOWN_LABELS, frequent.length)} most frequent labels were predicted on each day`)),
    h("h2", {}, "By day"),
    table("Predictions by day", [{ title: "Day" }, { title: "Images", number: true }, { title: "Errors", number: true }, { title: "Most frequent labels" }],
      [...days].reverse().filter((each) => each.images).map((each) => [each.date, count(each.images), count(each.errors), Object.entries(each.labels).sort((one, other) => other[1] - one[1]).slice(0, SHOWN_LABELS).map(([label, number]) => `${label} ${count(number)}`).join(", ")])),
  ];
}

function download() {
  const progress = h("span.muted", { role: "status" });
  return h("form.row.card", { "aria-label": "Download", onsubmit: async (event) => {
    event.preventDefault();
    const button = event.submitter;
    const wanted = Object.fromEntries(new FormData(event.target));
    button.disabled = true;
    try {
      await save(wanted, progress);
    } catch (error) {
      progress.textContent = "";
      toast(error.message, "error");
    } finally {
      button.disabled = false;
    }
  } },
  h("label", {}, "From", h("input", { type: "date", name: "from", value: day(-7), required: true })),
  h("label", {}, "Until, with that day", h("input", { type: "date", name: "to", value: day(0), required: true })),
  h("label", {}, "Label", h("input", { name: "label", placeholder: "all" })),
  h("label", {}, "Format", h("select", { name: "format" }, ["csv", "jsonl", "parquet"].map((each) => h("option", { value: each }, each)))),
  h("button.primary", {}, "Download"), progress);
}

/** One file for each answer: a long range comes in several. */
async function save({ from, to, label, format }, progress) {
  let url = path("predictions") + query({ from, to: nextDay(to), label, format });
  for (let number = 1; url; number += 1) {
    progress.textContent = number > 1 ? `file ${number} …` : "…";
    const answer = await send("GET", url);
    if (answer.status === 204) break;
    const next = /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get("Link") ?? "");
    const address = URL.createObjectURL(await answer.blob());
    h("a", { href: address, download: `predictions-${from}-${to}${next || number > 1 ? `-${number}` : ""}.${format}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    progress.textContent = `${plural(number, "file")} saved`;
    url = next ? new URL(next[1], location.origin).pathname + new URL(next[1], location.origin).search : null;
  }
}
