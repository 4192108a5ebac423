// Switching between the dark and the light theme; theme.js sets the chosen one before the first paint.

import { toast } from "./notices.js";

export function switchTheme() {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = dark === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  toast(next === "dark" ? "Dark." : "Light.");
}
