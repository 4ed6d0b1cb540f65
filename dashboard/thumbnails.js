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

/** A picture of an image in storage, at most `size` px wide and high. */
export function thumbnail(image, size = 256) {
  const picture = h("img.thumbnail", { alt: "", decoding: "async", width: size, height: size });
  picture.wanted = `${path("thumbnails", image.path)}?size=${size}`;
  picture.known = `${picture.wanted} ${image.etag}`;
  if (known.has(picture.known)) picture.src = known.get(picture.known);
  else seen.observe(picture);
  return picture;
}

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
    picture.classList.add("missing");
    picture.alt = `no picture: ${error.message}`;
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
