// Descriptions of scenes, with the labels in them marked.

import { button, h } from "./dom.js";
import { state } from "./state.js";

const FIRST = 3;
const open = new Set(); // keys of the lists that are shown in full

function caption(id) {
  const { pieces, unnamed } = state.bank.captions[id];
  return h(
    "li",
    { class: "caption" },
    h("p", {}, pieces.map(({ text, label }) => (label ? h("mark", { title: label === text ? null : label }, text) : text))),
    unnamed.length > 0 && h("p", { class: "soft unnamed" }, "not named: ", unnamed.join(", ")),
  );
}

// A list of captions; a long list is collapsed until it is opened.
export function captions(ids, key, redraw) {
  const shown = open.has(key) ? ids : ids.slice(0, FIRST);
  const rest = ids.length - FIRST;
  const toggle = () => {
    open.has(key) ? open.delete(key) : open.add(key);
    redraw();
  };
  return [
    h("ul", { class: "captions" }, shown.map(caption)),
    rest > 0 &&
      button(open.has(key) ? "Show fewer" : `Show ${rest} more`, toggle, {
        class: "link",
        data: { key: `captions:${key}` },
        aria: { expanded: String(open.has(key)) },
      }),
  ];
}
