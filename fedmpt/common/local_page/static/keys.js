// Single-key shortcuts. They can be turned off, for users of speech input and other assistive technology.

import { anyOpen } from "./dialogs.js";
import { byId } from "./dom.js";

const STORED = "fedmpt-keys";

export function setUpKeys(shortcuts) {
  const on = byId("keys-on");
  on.checked = localStorage.getItem(STORED) !== "off";
  on.addEventListener("change", () => localStorage.setItem(STORED, on.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (!on.checked || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || anyOpen()) return;
    // A field of a dialog that has just closed may still have the focus.
    if (event.target.closest("textarea, select, input:not([type=checkbox], [type=range])")?.checkVisibility()) return;
    if (event.target.type === "range" && event.key.length > 1) return; // arrows, Home and End move the slider
    const work = shortcuts[event.key];
    if (!work) return;
    event.preventDefault();
    work();
  });
}
