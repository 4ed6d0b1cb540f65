// The versions side by side, one version's labels, and promotion.

import { call, get, open, path, query } from "/api/dashboard/api.js";
import { pairs } from "/api/dashboard/charts.js";
import { confirmed, empty, h, put, table, toast } from "/api/dashboard/dom.js";
import { decimal, time, words } from "/api/dashboard/format.js";

const METRICS = ["macro_average_precision", "micro_average_precision", "micro_f1", "macro_f1", "iou", "subset_accuracy", "ece"];
const SHOWN_EXPORTS = 200;

const title = (name) => ({ iou: "IoU (Jaccard)", ece: "calibration error" })[name] ?? words(name).replace("f1", "F1");

export async function show(content, context) {
  if (context.rest) await version(content, context);
  else await versions(content, context);
}

async function versions(content, { signal }) {
  const { models } = await get(`${path("models")}?limit=50`, { signal });
  put(content, h("h1", {}, "Models"), h("p.lead", {}, "A new version takes over only when it is better on the same test images."));
  if (!models.length) {
    content.append(empty("No model yet", "Export labels from Azure ML's labelling tool, or correct images under Review and export them. The first training makes version 1."));
    return;
  }
  const columns = [{ title: "Version" }, { title: "State" }, { title: "Trained" }, { title: "Score", number: true }, { title: "Micro F1", number: true }, { title: "Decision" }, { title: "Action" }];
  content.append(table("Versions of the model", columns, models.map((each) => {
    const metric = Object.keys(each.tags).find((name) => METRICS.includes(name) && name !== "micro_f1");
    return [
      h("a", { href: `#/models/${each.version}` }, `${each.name}:${each.version}`),
      each.champion ? h("span.state.good", {}, "in use") : h("span.state", {}, "kept"),
      time(each.created_at),
      metric ? [decimal(Number(each.tags[metric])), h("br"), h("span.muted", {}, title(metric))] : "–",
      "micro_f1" in each.tags ? decimal(Number(each.tags.micro_f1)) : "–",
      each.tags.reason ?? "",
      each.champion ? "" : h("button", { type: "button", "aria-label": `Promote ${each.name}:${each.version}`, onclick: () => promote(each, content, { signal }) }, "Promote"),
    ];
  })));
}

async function promote(model, content, context) {
  const sure = await confirmed(`Use ${model.name}:${model.version}?`, "Every batch from now on is scored with this version. What was predicted so far stays as it is. You can go back at any time.", "Promote");
  if (!sure) return;
  try {
    await call("POST", path("models", model.version, "promote"));
    toast(`${model.name}:${model.version} is in use now`);
    await show(content, { ...context, rest: context.rest ?? "" });
    // The button that had the focus is gone.
    document.getElementById("main").focus({ preventScroll: true });
  } catch (error) {
    toast(error.message, "error");
  }
}

async function version(content, context) {
  const { rest, signal } = context;
  const [model, { exports }] = await Promise.all([get(path("models", rest), { signal }), get(path("exports") + query({ limit: SHOWN_EXPORTS }), { signal })]);
  const card = model.card;
  put(content, h("p", {}, h("a", { href: "#/models" }, "← All versions")), h("h1", {}, `${model.name}:${model.version} `), h("p.lead", {}, model.champion ? "In use." : "Not in use.", " Trained ", time(model.created_at), "."));
  if (!card) {
    content.append(empty("No card", "LabelLoop did not register this version, so it can't be promoted."));
    return;
  }
  const { decision, metrics = {}, intervals } = card;
  const labels = metrics.labels ?? {};
  const before = card.champion?.metrics?.labels;
  const source = exports.find((each) => each.job && each.job === card.job);
  content.append(
    decision ? h("div", { class: `notice ${decision.promote ? "good" : "warning"}` }, h("p", {}, decision.promote ? "Promoted: " : "Not promoted: ", decision.reason)) : "",
    h("div.actions", {},
      model.champion ? null : h("button.primary", { type: "button", onclick: () => promote(model, content, context) }, "Promote this version"),
      h("button", { type: "button", onclick: () => open(path("models", model.version, "report"), `${model.name}-${model.version}.html`).catch((error) => toast(error.message, "error")) }, "Save the full report"),
      card.job ? h("a.button", { href: `#/runs/jobs/${card.job}` }, "Its training") : null,
      source ? h("a.button", { href: `#/runs/exports/${source.id}` }, "The label export it came from") : null),
    h("h2", {}, "Metrics on the test images"),
    table("Metrics", [{ title: "Metric" }, { title: "This version", number: true }, { title: confidence(intervals), number: true }, { title: "Champion then", number: true }],
      METRICS.filter((name) => name in metrics).map((name) => [title(name), decimal(metrics[name]), interval(intervals?.metrics?.[name]), decimal(card.champion?.metrics?.[name])])),
    h("h2", {}, "F1 of each label"),
    pairs(Object.entries(labels).map(([label, values]) => ({ label, values: [values.f1, ...(before?.[label] ? [before[label].f1] : [])] })), before ? ["this version", "champion then"] : ["this version"]),
    h("h2", {}, "Labels"),
    table("Labels", ["Label", "Threshold", "Precision", "Recall", "Average precision", confidence(intervals), "Test images"].map((name, index) => ({ title: name, number: index > 0 })),
      Object.entries(labels).map(([label, values]) => [label, decimal(values.threshold, 2), decimal(values.precision), decimal(values.recall), decimal(values.average_precision), interval(intervals?.labels?.[label]?.average_precision), values.support])));
}

const confidence = (intervals) => `${Math.round((intervals?.confidence ?? 0.95) * 100)} % interval`;

const interval = (values) => (Array.isArray(values) ? `${decimal(values[0])} – ${decimal(values[1])}` : "–");
