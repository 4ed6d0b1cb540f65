// The versions side by side, one version's labels, and promotion.

import { call, get, open, path } from "/api/dashboard/api.js";
import { pairs } from "/api/dashboard/charts.js";
import { confirmed, empty, h, put, table, toast } from "/api/dashboard/dom.js";
import { decimal, time, words } from "/api/dashboard/format.js";

const METRICS = ["macro_average_precision", "micro_f1", "macro_f1", "subset_accuracy", "iou", "expected_calibration_error"];

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
  const columns = [{ title: "Version" }, { title: "State" }, { title: "Trained" }, { title: "Score", number: true }, { title: "Micro F1", number: true }, { title: "Decision" }, { title: "" }];
  content.append(table("Versions of the model", columns, models.map((each) => {
    const metric = Object.keys(each.tags).find((name) => METRICS.includes(name) && name !== "micro_f1");
    return [
      h("a", { href: `#/models/${each.version}` }, `${each.name}:${each.version}`),
      each.champion ? h("span.state.good", {}, "in use") : h("span.state", {}, "kept"),
      time(each.created_at),
      metric ? h("span", { title: words(metric) }, decimal(Number(each.tags[metric]))) : "–",
      decimal(Number(each.tags.micro_f1)),
      each.tags.reason ?? "",
      each.champion ? "" : h("button", { type: "button", onclick: () => promote(each, content, { signal }) }, "Promote"),
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
  } catch (error) {
    toast(error.message, "error");
  }
}

async function version(content, context) {
  const { rest, signal } = context;
  const model = await get(path("models", rest), { signal });
  const card = model.card;
  put(content, h("p", {}, h("a", { href: "#/models" }, "← All versions")), h("h1", {}, `${model.name}:${model.version} `), h("p.lead", {}, model.champion ? "In use." : "Not in use.", " Trained ", time(model.created_at), "."));
  if (!card) {
    content.append(empty("No card", "LabelLoop did not register this version, so it can't be promoted."));
    return;
  }
  const decision = card.decision ?? {};
  const labels = card.metrics.labels ?? {};
  const before = card.champion?.metrics?.labels;
  content.append(
    h("div", { class: `notice ${decision.promote ? "good" : "warning"}` }, h("p", {}, decision.promote ? "Promoted: " : "Not promoted: ", decision.reason ?? "")),
    h("div.actions", {},
      model.champion ? null : h("button.primary", { type: "button", onclick: () => promote(model, content, context) }, "Promote this version"),
      h("button", { type: "button", onclick: () => open(path("models", model.version, "report"), `${model.name}-${model.version}.html`).catch((error) => toast(error.message, "error")) }, "Save the full report"),
      h("a.button", { href: `#/runs/jobs/${card.job}` }, "Its training")),
    h("h2", {}, "Metrics on the test images"),
    table("Metrics", [{ title: "Metric" }, { title: "This version", number: true }, { title: "Interval", number: true }, { title: "Champion then", number: true }],
      METRICS.filter((name) => name in card.metrics).map((name) => [words(name), decimal(card.metrics[name]), interval(card.intervals?.[name]), decimal(card.champion?.metrics?.[name])])),
    h("h2", {}, "F1 of each label"),
    pairs(Object.entries(labels).map(([label, values]) => ({ label, values: [values.f1, ...(before?.[label] ? [before[label].f1] : [])] })), before ? ["this version", "champion then"] : ["this version"]),
    h("h2", {}, "Labels"),
    table("Labels", ["Label", "Threshold", "Precision", "Recall", "Average precision", "Images"].map((title, index) => ({ title, number: index > 0 })),
      Object.entries(labels).map(([label, values]) => [label, decimal(card.thresholds[label], 2), decimal(values.precision), decimal(values.recall), decimal(values.average_precision), values.support])));
}

const interval = (values) => (Array.isArray(values) ? `${decimal(values[0])} – ${decimal(values[1])}` : "–");
