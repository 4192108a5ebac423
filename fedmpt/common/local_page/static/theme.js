// Set the chosen theme before the first paint; without a choice the system's theme applies.
"use strict";
const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
