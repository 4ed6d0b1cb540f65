// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export const count = (value) => whole.format(value ?? 0);
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
export const decimal = (value, digits = 3) => (typeof value === "number" ? value.toFixed(digits) : "–");
export const percent = (value) => `${Math.round((value ?? 0) * 100)} %`;

/** A moment in the reader's time zone. */
export const time = (text) => (text ? moment.format(new Date(text)) : "–");

/** How long ago, in the largest unit that fits. */
export function ago(text) {
  if (!text) return "never";
  const seconds = (new Date(text) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

/** Seconds as `1 h 05 min`, `12 min` or `40 s`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return minutes ? `${minutes} min` : `${Math.round(seconds)} s`;
}

/** `macro_average_precision` as `macro average precision`. */
export const words = (name) => String(name ?? "").replaceAll("_", " ");

/** A path's last part. */
export const basename = (path) => String(path).split("/").pop();

/** The day after one (`2026-11-24`); what is no day stays as it is. */
export function nextDay(date) {
  const day = new Date(`${date}T00:00:00Z`);
  if (Number.isNaN(day.valueOf())) return date;
  day.setUTCDate(day.getUTCDate() + 1);
  return day.toISOString().slice(0, 10);
}
