// Thumbnails need the key in a header, so they are fetched and shown from memory: as they come into view, a few at a
// time, the last few hundred kept.

import { path, send } from "/api/dashboard/api.js";
import { h } from "/api/dashboard/dom.js";

const KEPT = 300;
const AT_ONCE = 6;
const known = new Map();
const queue = [];
let running = 0;

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    queue.push(entry.target);
  }
  next();
}, { rootMargin: "200px" });

/** A picture of an image in storage, at most `size` px wide and high; `alt` where it says more than the text beside it. */
export function thumbnail(image, { size = 256, alt = "", large = false } = {}) {
  const kind = large ? "thumbnail large" : "thumbnail";
  if (isRefused(image)) return none(kind, "no picture: this is no image that can be shown");
  const picture = h("img", { class: kind, alt, decoding: "async", width: size, height: size });
  picture.wanted = `${path("thumbnails", image.path)}?size=${size}`;
  picture.known = `${picture.wanted} ${image.etag}`;
  if (known.has(picture.known)) picture.src = known.get(picture.known);
  else seen.observe(picture);
  return picture;
}

// What was refused at its arrival is no picture either, and is not asked for.
const isRefused = (image) => image.state === "rejected" || (Boolean(image.error) && (image.state === "waiting" || image.state === "batched"));

const none = (kind, text) => h("div", { class: `${kind} missing` }, text);

function next() {
  while (running < AT_ONCE && queue.length) {
    const picture = queue.shift();
    if (!picture.isConnected) continue;
    running += 1;
    show(picture).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function show(picture) {
  try {
    const content = await (await send("GET", picture.wanted)).blob();
    const address = URL.createObjectURL(content);
    keep(picture.known, address);
    picture.src = address;
  } catch (error) {
    picture.replaceWith(none(picture.className, `no picture: ${error.message}`));
  }
}

function keep(name, address) {
  known.set(name, address);
  while (known.size > KEPT) {
    const [oldest, old] = known.entries().next().value;
    known.delete(oldest);
    URL.revokeObjectURL(old);
  }
}
