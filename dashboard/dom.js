// Elements are built from values, never from markup, so that no text of an image, label or error can become code.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a.button", {href, onclick}, "text", child, [children])`. Null and false children are left out. */
export function h(selector, attributes, ...children) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElement(tag || "div"), classes, attributes, children);
}

/** The same for SVG. */
export function s(selector, attributes, ...children) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElementNS(SVG, tag), classes, attributes, children);
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** Replace an element's content. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** Replace an element's content that is drawn anew: what had the focus in it has it again, by its link, name or text. */
export function redraw(element, ...children) {
  const held = element.contains(document.activeElement) ? trait(document.activeElement) : null;
  put(element, ...children);
  if (held === null) return;
  const again = [...element.querySelectorAll("a, button, input, select, [tabindex]")].find((each) => trait(each) === held);
  (again ?? document.getElementById("main")).focus({ preventScroll: true });
}

const trait = (element) => [element.tagName, element.getAttribute("href"), element.name, element.getAttribute("aria-label") ?? element.textContent].join(" ");

/** A table with a caption for screen readers. `rows` are arrays of children. */
export function table(caption, columns, rows) {
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption.visually-hidden", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((each) => h("th", { scope: "col", class: each.number && "number" }, each.title)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, index) => {
        const number = columns[index].number && "number";
        return index === 0 ? h("th", { scope: "row", class: number }, cell) : h("td", { class: number }, cell);
      }))))));
}

/** What stands where there is nothing yet: what that means, and what to do. */
export function empty(title, ...text) {
  return h("div.empty", {}, h("p.empty-title", {}, title), text.map((each) => (typeof each === "string" ? h("p", {}, each) : each)));
}

/** A short message that goes away by itself; screen readers read it. */
export function toast(text, kind = "info") {
  const shown = h(`div.toast.${kind}`, {}, text, h("button.quiet", { type: "button", "aria-label": "Close", onclick: () => shown.remove() }, "×"));
  document.getElementById("toasts").append(shown);
  if (kind !== "error") setTimeout(() => shown.remove(), 8000);
}

let dialogs = 0;

/** A form as a dialog; resolves to the value of the button that closed it, empty when it was left. The focus goes back to
 * where it was, or to the content when that is gone.
 */
export function asked(title, ...children) {
  const id = `dialog-${(dialogs += 1)}`;
  const dialog = h("dialog", { "aria-labelledby": id }, h("form", { method: "dialog" }, h("h2", { id }, title), children));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (document.activeElement === document.body) document.getElementById("main").focus({ preventScroll: true });
      resolve(dialog.returnValue);
    }, { once: true });
    dialog.showModal();
  });
}

/** Ask before something is done; resolves to true or false. */
export async function confirmed(title, text, action) {
  const answer = await asked(title, h("p", {}, text), h("div.actions", {}, h("button", { value: "no", autofocus: true }, "Cancel"), h("button.primary", { value: "yes" }, action)));
  return answer === "yes";
}
