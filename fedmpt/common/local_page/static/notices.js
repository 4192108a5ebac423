// Messages: a toast at the bottom after each edit, and notices above the content.

import { Refused } from "./api.js";
import { button, byId, h } from "./dom.js";

let fading = null;

export function toast(text, kind = "done") {
  const element = byId("toast");
  element.replaceChildren(h("p", { class: kind }, text));
  clearTimeout(fading);
  fading = setTimeout(() => element.replaceChildren(), kind === "done" ? 5000 : 15000);
}

// Run an action that the server may refuse. Returns whether it succeeded; otherwise shows the reason.
export async function attempt(work, told) {
  try {
    const answer = await work();
    if (told !== undefined) toast(told);
    return answer ?? true;
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    toast(error.message, "failed");
    return false;
  }
}

// A notice that stays until a choice is made; choices are [text, action] pairs.
export function notice(key, text, choices = []) {
  dismiss(key);
  const buttons = choices.map(([word, work]) =>
    button(word, async () => {
      if ((await attempt(work)) !== false) dismiss(key);
    }),
  );
  const closing = choices.length ? null : button("Close", () => dismiss(key), { class: "icon", icon: "close" });
  const element = h("div", { class: "notice", role: "status", data: { notice: key } }, h("p", {}, text), buttons, closing);
  byId("notices").append(element);
  element.scrollIntoView({ block: "nearest" });
}

export function dismiss(key) {
  byId("notices").querySelector(`[data-notice="${CSS.escape(key)}"]`)?.remove();
}
