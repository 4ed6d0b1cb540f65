// The frame of the page: which view is shown, the key, and what is asked again and again.

import { key, onKeyWanted } from "/api/dashboard/api.js";
import { asked, h, put } from "/api/dashboard/dom.js";

const VIEWS = ["overview", "images", "review", "models", "runs", "predictions"];
const TITLES = { overview: "Overview", images: "Images", review: "Review", models: "Models", runs: "Runs", predictions: "Predictions" };
const main = document.getElementById("main");
const signOut = document.getElementById("sign-out");
let shown = 0;
let stop = null;

put(document.getElementById("nav"), VIEWS.map((name) => h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, TITLES[name]))));

/** `#/images/2026%2Fa.jpg?state=failed` as {view, rest, parameters}. */
function place() {
  const [address, parameters = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = address.split("/").map(decoded);
  return { view: VIEWS.includes(view) ? view : "overview", rest: rest.join("/"), parameters: new URLSearchParams(parameters) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show() {
  const number = (shown += 1);
  stop?.abort();
  stop = new AbortController();
  const { signal } = stop;
  const { view, rest, parameters } = place();
  document.title = `${TITLES[view]} · LabelLoop`;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const content = h("div.view", { "data-view": view, "aria-busy": true });
  put(main, content);
  // Whoever followed a link within the old view goes on at the new one's beginning.
  if (number > 1) main.focus();
  await attempt(content, async () => {
    const module = await import(`/api/dashboard/views/${view}.js`);
    if (number !== shown) return;
    const drawn = once(() => {
      content.removeAttribute("aria-busy");
      afterPainting(() => performance.mark(`shown:${view}`));
    });
    await module.show(content, { rest, parameters, signal, every: (seconds, work) => every(seconds, work, signal, drawn) });
    drawn();
  });
}

/** Do something for a view; what fails stands on the page, with a way to try again. */
async function attempt(content, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    content.removeAttribute("aria-busy");
    put(content, h("h1", {}, "That did not work"), h("div.notice.error", { role: "alert" },
      h("p", {}, error.message), (error.reasons ?? []).map((each) => h("p", {}, each)),
      h("button", { type: "button", onclick: show }, "Try again")));
    if (!("status" in error)) throw error;
  }
}

/** Call `work` at once, then again every `seconds()`, until it returns true or the view changes; not while nobody looks,
 * and more seldom while it fails. The first failure is the caller's; later ones stand in the status line.
 */
async function every(seconds, work, signal, drawn) {
  const status = document.getElementById("status");
  const tell = (text) => {
    status.textContent = text;
    status.classList.toggle("visually-hidden", !text);
  };
  let ended = await work();
  drawn();
  let failures = 0;
  while (!ended && !signal.aborted) {
    await pause(Math.min(60, seconds() * 2 ** failures) * 1000, signal);
    if (document.hidden) await looked(signal);
    if (signal.aborted) break;
    try {
      ended = await work();
      if (failures) tell("");
      failures = 0;
    } catch (error) {
      if (signal.aborted) break;
      failures += 1;
      tell(error.message);
    }
  }
  if (failures) tell("");
}

const pause = (milliseconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

const looked = (signal) => new Promise((resolve) => {
  document.addEventListener("visibilitychange", resolve, { once: true, signal });
  signal.addEventListener("abort", resolve, { once: true });
});

const afterPainting = (work) => requestAnimationFrame(() => setTimeout(work));

function once(work) {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

// The key

onKeyWanted(async (problem) => {
  if (problem?.type?.endsWith(":unauthenticated")) {
    const back = encodeURIComponent(location.pathname + location.hash);
    location.href = `/.auth/login/aad?post_login_redirect_uri=${back}`;
    return false;
  }
  const field = h("input", { type: "password", name: "key", autocomplete: "off", required: true, autofocus: true, "aria-describedby": "key-help" });
  const answer = await asked("Which key?",
    key.get() ? h("p.notice.error", { role: "alert" }, "That key does not open this. Is it the right one, and for this app?") : null,
    h("label", {}, "Function key", field),
    h("p", { id: "key-help" }, "A read key shows everything; a score key also uploads and corrects; an operate key or the host's key does all. It stays in this tab and is forgotten with it."),
    h("div.actions", {}, h("button.primary", { value: "yes" }, "Enter")));
  const given = answer === "yes" ? field.value.trim() : "";
  if (given) key.set(given);
  signOut.hidden = !key.get();
  return Boolean(given);
});

signOut.hidden = !key.get();
signOut.addEventListener("click", () => {
  key.forget();
  location.reload();
});

// An address of its own would be taken for that of a view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

window.addEventListener("hashchange", show);
show();
