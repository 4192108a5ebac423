// Creates elements. Text becomes text nodes, never markup: label names and model answers are untrusted.

const ICONS = {
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  pencil: "M4 20l1-4L16.5 4.5l3 3L8 19l-4 1z",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 010 12h-3",
  redo: "M15 14l5-5-5-5M20 9H10a6 6 0 000 12h3",
  theme: "M12 3a9 9 0 100 18zM12 3a9 9 0 010 18",
  help: "M9.2 9a3 3 0 115 2.2c-1.2.9-2.2 1.5-2.2 3M12 17.6h.01",
  plus: "M12 5v14M5 12h14",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  merge: "M6 4v4a6 6 0 006 6v6M18 4v4a6 6 0 01-6 6",
  split: "M12 4v6a6 6 0 01-6 6v4M12 10a6 6 0 006 6v4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

export const byId = (id) => document.getElementById(id);

// h("p", {class: "soft", onclick: f, aria: {label: "…"}, data: {key: "…"}}, "text", child, …); false and null are left out
export function h(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria") for (const [part, text] of Object.entries(value)) element.setAttribute(`aria-${part}`, text);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// A button with an icon and a text; with class "icon" the text is only its accessible name.
export function button(text, onclick, { icon: name, ...options } = {}) {
  const bare = (options.class ?? "").split(" ").includes("icon");
  const label = bare ? { aria: { ...options.aria, label: text }, title: text } : {};
  return h("button", { type: "button", onclick, ...options, ...label }, name && icon(name), !bare && h("span", {}, text));
}

// Add icons to the buttons in the page's HTML.
export function dressButtons(root) {
  for (const element of root.querySelectorAll("button[data-icon]")) {
    const text = element.textContent.trim();
    if (element.classList.contains("icon")) {
      element.setAttribute("aria-label", text);
      element.title = text;
      element.replaceChildren(icon(element.dataset.icon));
    } else {
      element.replaceChildren(icon(element.dataset.icon), h("span", {}, text));
    }
  }
}

// Replace the children of an element, and restore the focus by data-key.
export function refill(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  element.replaceChildren(...children);
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

export function when(at) {
  return new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}
