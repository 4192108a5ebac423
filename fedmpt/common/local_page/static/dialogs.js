// Dialogs of the page: opened with a submit handler, closed by Cancel, Escape or success.

import { Refused } from "./api.js";
import { byId, h } from "./dom.js";

// submit() returns a promise; if it fails, the dialog stays open and shows the reason. A guarded dialog with changed
// fields closes only at the second attempt.
export function openDialog(id, { title, submit, guarded = false }) {
  const dialog = byId(id);
  if (title) byId(`${id}-title`).textContent = title;
  complain(id, "");
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    if (submit && !(await inDialog(id, submit))) return;
    dialog.close();
  };
  if (dialog.open) return;
  const before = document.activeElement?.dataset.key;
  dialog.onclose = () => before && focusAgain(before, dialog);
  dialog.dataset.filled = guarded ? filled(dialog) : "";
  dialog.showModal();
}

const filled = (dialog) => JSON.stringify([...dialog.querySelectorAll("input, textarea")].map((field) => (field.type === "checkbox" ? field.checked : field.value)));
const touched = (dialog) => dialog.open && dialog.dataset.filled !== "" && dialog.dataset.filled !== filled(dialog);

// Whether a dialog has changes that were not applied.
export const anyTouched = () => [...document.querySelectorAll("dialog")].some(touched);

// Whether a dialog may close; the first attempt that would lose changes shows a warning instead.
function mayClose(dialog) {
  if (!touched(dialog)) return true;
  dialog.dataset.filled = "";
  complain(dialog.id, "What you changed here was not applied. Close once more to drop it.");
  return false;
}

// The browser restores the focus, unless the focused element was redrawn in the meantime.
function focusAgain(key, dialog) {
  const lost = document.activeElement === document.body || dialog.contains(document.activeElement);
  if (lost) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// Run an action from a dialog. Returns whether it succeeded; otherwise the dialog shows the reason.
export async function inDialog(id, work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    complain(id, error.message);
    return false;
  }
}

function complain(id, text) {
  const element = byId(id).querySelector(".problem");
  if (!element) return;
  element.replaceChildren(...text.split("\n").filter(Boolean).map((line) => h("p", {}, line)));
  element.hidden = text === "";
}

export function setUpDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const close of dialog.querySelectorAll("button.close")) close.addEventListener("click", () => mayClose(dialog) && dialog.close());
    dialog.addEventListener("cancel", (event) => mayClose(dialog) || event.preventDefault());
  }
}

export const anyOpen = () => document.querySelector("dialog[open]") !== null;
export const lines = (id) => byId(id).value.split("\n").map((line) => line.trim()).filter(Boolean);
