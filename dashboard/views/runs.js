// Label exports, trainings and batches, with what became of them in words.

import { call, get, open, path, query } from "/api/dashboard/api.js";
import { confirmed, empty, h, put, redraw, table, toast } from "/api/dashboard/dom.js";
import { count, decimal, duration, percent, plural, time, words } from "/api/dashboard/format.js";

const BAD = /fail|refus|error/i;
const GOOD = /complet|trained|done|ready/i;
const ENDED = new Set(["completed", "failed", "canceled"]);
const FIRST = 20;
const MOST = 200;

export async function show(content, context) {
  const [kind, ...rest] = context.rest.split("/");
  const name = rest.join("/");
  if (kind === "exports" && name) await exported(content, name, context);
  else if (kind === "jobs" && name) await job(content, name, context);
  else if (kind === "batches" && name) await batch(content, name, context);
  else await overview(content, context);
}

const state = (text) => h("span", { class: `state ${BAD.test(text) ? "bad" : GOOD.test(text) ? "good" : "active"}` }, text);
const back = () => h("p", {}, h("a", { href: "#/runs" }, "← All runs"));

async function overview(content, { signal, every }) {
  let last = "";
  let limit = FIRST;
  async function look() {
    const pages = await Promise.all([
      get(path("exports") + query({ limit }), { signal }), get(path("jobs") + query({ kind: "training", limit }), { signal }), get(path("batches") + query({ limit }), { signal })]);
    const told = JSON.stringify(pages);
    if (told === last) return;
    last = told;
    const [{ exports }, { jobs }, { batches }] = pages;
    redraw(content, h("h1", {}, "Runs"), h("p.lead", {}, "What came in, what it started, and what came of it."),
      h("h2", {}, "Label exports"),
      exports.length ? table("Label exports", [{ title: "Export" }, { title: "State" }, { title: "Images", number: true }, { title: "Labels", number: true }, { title: "Warnings", number: true }, { title: "When" }],
        exports.map((each) => [h("a", { href: `#/runs/exports/${each.id}` }, each.export), state(each.state), count(each.images), count(each.labels), count(each.warnings), time(each.updated_at)]))
        : empty("No label export yet", "Export from Azure ML's labelling tool, or from Review; it is found by itself."),
      h("h2", {}, "Trainings"),
      jobs.length ? table("Trainings", [{ title: "Job" }, { title: "State" }, { title: "Started" }, { title: "Azure ML" }],
        jobs.map((each) => [h("a", { href: `#/runs/jobs/${each.name}` }, each.name), state(each.status), time(each.created_at), studio(each)])) : empty("No training yet", "A label export starts one."),
      h("h2", {}, "Batches"),
      batches.length ? table("Batches", [{ title: "Batch" }, { title: "State" }, { title: "Where" }, { title: "Images", number: true }, { title: "Errors", number: true }, { title: "Model" }, { title: "Made" }],
        batches.map((each) => [h("a", { href: `#/runs/batches/${each.id}` }, each.id), [state(each.state), each.error ? h("div", {}, each.error) : null], each.route === "inline" ? "in the app" : each.route, count(each.images), count(each.errors), each.model, time(each.created)]))
        : empty("No batch yet", "Images that wait become one when there is a model."),
      limit < MOST && pages.some((each) => each.next) ? h("button.more", { type: "button", onclick: older }, "Show older ones") : null);
  }
  const older = () => {
    limit = MOST;
    look().catch((error) => toast(error.message, "error"));
  };
  await every(() => 10, look);
}

const studio = (each) => (each.studio_url ? h("a", { href: each.studio_url, rel: "noreferrer", target: "_blank" }, "open in the studio") : "");

async function job(content, name, context) {
  let last = "";
  await context.every(() => 5, async () => {
    const told = await get(path("jobs", name), { signal: context.signal });
    if (JSON.stringify(told) === last) return;
    last = JSON.stringify(told);
    redraw(content, back(), h("h1", {}, told.name), h("p.lead", {}, words(told.kind), " ", state(told.state)),
      told.error ? h("div.notice.error", {}, h("p", {}, told.error)) : null,
      h("div.card", {}, h("dl", {}, fact("Step", told.step ? words(told.step) : "–"), fact("Progress", percent(told.progress)), fact("Node hours", decimal(told.node_hours, 2)), fact("Started", time(told.created_at)), Object.entries(told.tags).map(([key, value]) => fact(words(key), value)), fact("Azure ML", studio(told) || "–"))),
      h("h2", {}, "Steps"),
      table("Steps", [{ title: "Step" }, { title: "State" }, { title: "Node hours", number: true }, { title: "Error" }], told.steps.map((each) => [words(each.name), state(each.status), decimal(each.node_hours, 2), each.error ?? ""])),
      ENDED.has(told.state) || told.state === "canceling" ? null : h("div.actions", {}, h("button.danger", { type: "button", onclick: () => cancel(told) }, "Cancel this job")));
  });
}

async function cancel(told) {
  if (!(await confirmed(`Cancel ${told.name}?`, "What it has done so far is lost. Images of a canceled batch go into a later one.", "Cancel the job"))) return;
  try {
    await call("POST", path("jobs", told.name, "cancel"));
    toast("It is being canceled");
  } catch (error) {
    toast(error.message, "error");
  }
}

async function batch(content, id, { signal, every }) {
  let last = "";
  await every(() => 5, async () => {
    const told = await get(path("batches", id), { signal });
    if (JSON.stringify(told) === last) return;
    last = JSON.stringify(told);
    redraw(content, back(), h("h1", {}, told.id), h("p.lead", {}, "Batch ", state(told.state)),
      told.error ? h("div.notice.error", {}, h("p", {}, told.error)) : null,
      h("div.card", {}, h("dl", {}, fact("Where, and why", `${told.route === "inline" ? "in the app" : "on the cluster"}: ${told.reason}`), fact("Model", told.model), fact("Images", count(told.images)), fact("Predicted", count(told.predicted)), fact("Errors", count(told.errors)), fact("Into a later batch", count(told.retried)), fact("Made", time(told.created)), told.ended ? fact("Ended", time(told.ended)) : null,
        told.job ? fact("Job", h("a", { href: `#/runs/jobs/${told.job}` }, told.job)) : null, fact("Files", told.files.length ? told.files.map((file) => h("div", {}, h("code", {}, file))) : "none yet"))));
  });
}

async function exported(content, id, { signal }) {
  const report = await get(path("exports", id), { signal });
  const labels = Object.entries(report.labels ?? {});
  put(content, back(), h("h1", {}, report.export), h("p.lead", {}, "Label export ", state(report.state), " ", time(report.updated_at)),
    (report.problems ?? []).map((each) => h("div.notice.error", {}, h("p", {}, each))),
    h("div.actions", {}, h("button", { type: "button", onclick: () => open(path("exports", id, "report"), `export-${id}.html`).catch((error) => toast(error.message, "error")) }, "Save the full report"),
      report.job ? h("a.button", { href: `#/runs/jobs/${report.job}` }, "Its training") : null),
    h("h2", {}, "Images"), h("dl", {}, Object.entries(report.images ?? {}).map(([split, images]) => fact(words(split), count(images)))),
    report.warnings?.length ? [h("h2", {}, "What was found"), h("ul.plain", {}, report.warnings.map((each) => h("li.notice.warning", {}, h("p", {}, typeof each === "string" ? each : each.text))))] : null,
    labels.length ? [h("h2", {}, plural(labels.length, "label")), table("Labels", [{ title: "Label" }, { title: "Images", number: true }], labels.map(([label, images]) => [label, typeof images === "number" ? count(images) : Object.values(images).reduce((sum, each) => sum + each, 0)]))] : null);
}

const fact = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
