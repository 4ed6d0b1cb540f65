// The frame of the page: which view is shown, the key, and what is asked again and again.

import { key, onKeyWanted } from "/api/dashboard/api.js";
import { h, put } from "/api/dashboard/dom.js";

const VIEWS = ["overview", "images", "review", "models", "runs", "predictions"];
const TITLES = { overview: "Overview", images: "Images", review: "Review", models: "Models", runs: "Runs", predictions: "Predictions" };
const main = document.getElementById("main");
const signOut = document.getElementById("sign-out");
let shown = 0;
let stop = null;

put(document.getElementById("nav"), VIEWS.map((name) => h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, TITLES[name]))));

/** `#/images/2026/a.jpg?state=failed` as {view, rest, parameters}. */
function place() {
  const [address, parameters = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = address.split("/").map(decodeURIComponent);
  return { view: VIEWS.includes(view) ? view : "overview", rest: rest.join("/"), parameters: new URLSearchParams(parameters) };
}

async function show() {
  const number = (shown += 1);
  stop?.abort();
  stop = new AbortController();
  const { view, rest, parameters } = place();
  document.title = `${TITLES[view]} · LabelLoop`;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const module = await import(`/api/dashboard/views/${view}.js`);
  if (number !== shown) return;
  const content = h("div.view", { "data-view": view });
  put(main, content);
  await attempt(content, () => module.show(content, { rest, parameters, signal: stop.signal, every }));
  signOut.hidden = !key.get();
}

/** Do something for a view; what fails stands on the page, with a way to try again. */
async function attempt(content, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    put(content, h("h1", {}, "That did not work"), h("div.notice.error", { role: "alert" },
      h("p", {}, error.message), (error.reasons ?? []).map((each) => h("p", {}, each)),
      h("button", { type: "button", onclick: show }, "Try again")));
    if (!("status" in error)) throw error;
  }
}

/** Call `work` again and again until the view changes: at once, then every `seconds()`; not while nobody looks, and more
 * seldom while it fails. The first failure is the caller's; later ones stand in the status line.
 */
async function every(seconds, work, signal) {
  const status = document.getElementById("status");
  await work();
  let failures = 0;
  while (!signal.aborted) {
    await pause(Math.min(60, seconds() * 2 ** failures) * 1000, signal);
    if (document.hidden) await looked(signal);
    if (signal.aborted) return;
    try {
      await work();
      if (failures) status.textContent = "";
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      status.textContent = error.message;
      status.classList.toggle("visually-hidden", false);
      continue;
    }
    status.classList.toggle("visually-hidden", true);
  }
}

const pause = (milliseconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

const looked = (signal) => new Promise((resolve) => {
  document.addEventListener("visibilitychange", resolve, { once: true, signal });
  signal.addEventListener("abort", resolve, { once: true });
});

// The key

onKeyWanted(async (problem) => {
  const dialog = document.getElementById("dialog");
  const refused = Boolean(key.get());
  key.forget();
  if (problem?.type?.endsWith(":unauthenticated")) {
    const back = encodeURIComponent(location.pathname + location.hash);
    location.href = `/.auth/login/aad?post_login_redirect_uri=${back}`;
    return false;
  }
  return new Promise((resolve) => {
    const field = h("input", { type: "password", name: "key", autocomplete: "off", required: true, autofocus: true, "aria-describedby": "key-help" });
    put(dialog, h("form", { method: "dialog", onsubmit: () => key.set(field.value.trim()) },
      h("h2", { id: "dialog-title" }, "Which key?"),
      refused ? h("p.notice.error", { role: "alert" }, "That key was not taken.") : null,
      h("label", {}, "Function key", field),
      h("p", { id: "key-help" }, "A read key shows everything; a score key also uploads and corrects; an operate key or the host's key does all. It stays in this tab and is forgotten with it."),
      h("div.actions", {}, h("button.primary", { value: "yes" }, "Enter"))));
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.addEventListener("close", () => resolve(Boolean(key.get())), { once: true });
    dialog.showModal();
  });
});

signOut.addEventListener("click", () => {
  key.forget();
  location.reload();
});

window.addEventListener("hashchange", async () => {
  await show();
  main.focus({ preventScroll: false });
});
show();

