// Before the first paint: the theme that the person chose; without a choice the system's holds.
"use strict";
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
