// Small charts as SVG and HTML, each with its values as text.

import { h, s } from "/api/dashboard/dom.js";
import { count, decimal } from "/api/dashboard/format.js";

/** Horizontal bars from 0 to 1: `rows` of {label, value, mark?, strong?}; a mark is a threshold. */
export function bars(rows, caption) {
  return h("ul.bars", { "aria-label": caption }, rows.map(({ label, value, mark, strong }) =>
    h("li", { class: strong && "strong" },
      h("span.bar-label", {}, label),
      bar(value, mark),
      h("span.bar-value", {}, decimal(value, 2), mark === undefined ? null : h("span.visually-hidden", {}, `, threshold ${decimal(mark, 2)}`)))));
}

function bar(value, mark) {
  const width = Math.max(0, Math.min(1, value ?? 0)) * 100;
  return s("svg.bar", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": true },
    s("rect.track", { width: 100, height: 8, rx: 1 }),
    s("rect.amount", { width, height: 8, rx: 1 }),
    mark === undefined ? null : s("rect.mark", { x: Math.min(99, mark * 100), width: 0.8, height: 8 }));
}

/** Pairs of bars for each label: the candidate's and another version's value. */
export function pairs(rows, names) {
  return h("ul.bars.pairs", { "aria-label": names.join(" and ") }, rows.map(({ label, values }) =>
    h("li", {}, h("span.bar-label", {}, label),
      h("div.pair", {}, values.map((value, index) => h("div", { class: index ? "other" : "this" }, bar(value)))),
      h("span.bar-value", {}, values.map((value) => decimal(value, 2)).join(" / ")))));
}

const WIDTH = 640;
const HEIGHT = 180;

/** Lines over days: `series` of {name, values}, one value a day. */
export function lines(days, series, caption) {
  const top = Math.max(1, ...series.flatMap((each) => each.values));
  const x = (index) => 40 + (index * (WIDTH - 56)) / Math.max(1, days.length - 1);
  const y = (value) => HEIGHT - 24 - (value * (HEIGHT - 40)) / top;
  return h("figure", {},
    s("svg.lines", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption },
      [0, 0.5, 1].map((share) => [
        s("line.grid", { x1: 40, x2: WIDTH - 16, y1: y(top * share), y2: y(top * share) }),
        s("text.axis", { x: 34, y: y(top * share) + 4, "text-anchor": "end" }, count(Math.round(top * share)))]),
      [0, days.length - 1].map((index) => s("text.axis", { x: x(index), y: HEIGHT - 6, "text-anchor": index ? "end" : "start" }, days[index] ?? "")),
      series.map((each, number) => [
        s(`polyline.line.series-${number % 6}`, { points: each.values.map((value, index) => `${x(index)},${y(value)}`).join(" ") }),
        days.length < 2 ? s(`circle.dot.series-${number % 6}`, { cx: x(0), cy: y(each.values[0] ?? 0), r: 4 }) : null])),
    h("figcaption.legend", {}, series.map((each, number) => h(`span.series-${number % 6}`, {}, `${each.name} (${count(each.values.reduce((sum, value) => sum + value, 0))})`))));
}
