// The API, with its problems as errors in words. The key is kept in this tab's session storage alone.

const KEY = "labelloop-key";

/** A problem document (RFC 9457), or what the network says. `status` is 0 when nothing answered. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the app answered ${status}`);
    this.status = status;
    this.type = body?.type ?? "";
    this.reasons = body?.reasons ?? [];
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

let askForKey = async () => false;
let asking = null;

/** Who asks for a key when one is wanted; resolves to true when there is a new one. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");

/** A path of the API with its parameters; `parts` are escaped, slashes within them stay. */
export function path(...parts) {
  return `/api/${parts.map((each) => encoded(String(each))).join("/")}`;
}

/** Query parameters; what is empty is left out. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** One request; the answer as it is. Raises Problem. */
export async function send(method, url, { body, headers, signal } = {}) {
  for (;;) {
    const sent = { Accept: "*/*", ...headers };
    const used = key.get();
    if (used) sent["x-functions-key"] = used;
    let answer;
    try {
      answer = await fetch(url, { method, body, headers: sent, signal, redirect: "error", credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { detail: "The app does not answer. Is it running, and is this computer online?" });
    }
    if (answer.ok || answer.status === 304) return answer;
    const told = await answer.json().catch(() => null);
    if (answer.status === 401) {
      // Another request may have asked for a key meanwhile.
      if (key.get() !== used || (await (asking ??= askForKey(told).finally(() => (asking = null))))) continue;
      // The host refuses a missing or wrong key without a document.
      throw new Problem(401, told ?? { detail: "This needs a key that opens it, and none was given." });
    }
    throw new Problem(answer.status, told);
  }
}

/** GET as JSON. */
export async function get(url, options) {
  return (await send("GET", url, options)).json();
}

/** POST, PUT or DELETE with a JSON body; the answer as JSON, or null. */
export async function call(method, url, values, headers = {}) {
  const body = values === undefined ? undefined : JSON.stringify(values);
  const answer = await send(method, url, { body, headers: body ? { "Content-Type": "application/json", ...headers } : headers });
  return answer.status === 204 ? null : answer.json();
}

/** Open a protected document in a new tab, or save it under a name. */
export async function open(url, name) {
  const answer = await send("GET", url);
  const address = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = address;
  if (name) link.download = name;
  else link.target = "_blank";
  link.rel = "noopener";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  return answer;
}
