// Files of a range of days, and how often each label was predicted.

import { get, path, query, send } from "/api/dashboard/api.js";
import { lines } from "/api/dashboard/charts.js";
import { empty, h, put, table, toast } from "/api/dashboard/dom.js";
import { count, plural } from "/api/dashboard/format.js";

const SHOWN_LABELS = 6;
const day = (offset) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);

export async function show(content, { signal }) {
  put(content, h("h1", {}, "Predictions"), h("p.lead", {}, "Every image is one row: its labels, a probability for each label, the model, or the reason why there is none."), download());
  const { days } = await get(path("label-counts") + query({ days: 30 }), { signal });
  const total = {};
  for (const each of days) for (const [label, number] of Object.entries(each.labels)) total[label] = (total[label] ?? 0) + number;
  const frequent = Object.keys(total).sort((one, other) => total[other] - total[one]);
  content.append(h("h2", {}, "Labels over the last 30 days"));
  if (!frequent.length) {
    content.append(empty("Nothing predicted yet", "When images have been scored, their labels are counted here."));
    return;
  }
  const dates = days.map((each) => each.date);
  content.append(
    h("div.card", {}, lines(dates, frequent.slice(0, SHOWN_LABELS).map((label) => ({ name: label, values: days.map((each) => each.labels[label] ?? 0) })), `How often the ${Math.min(SHOWN_LABELS, frequent.length)} most frequent labels were predicted on each day`)),
    h("h2", {}, "By day"),
    table("Predictions by day", [{ title: "Day" }, { title: "Images", number: true }, { title: "Errors", number: true }, { title: "Most frequent labels" }],
      [...days].reverse().filter((each) => each.images).map((each) => [each.date, count(each.images), count(each.errors), Object.entries(each.labels).sort((one, other) => other[1] - one[1]).slice(0, SHOWN_LABELS).map(([label, number]) => `${label} ${count(number)}`).join(", ")])));
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
  const end = new Date(`${to}T00:00:00Z`);
  end.setUTCDate(end.getUTCDate() + 1);
  let url = path("predictions") + query({ from: `${from}T00:00:00Z`, to: end.toISOString(), label, format });
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
