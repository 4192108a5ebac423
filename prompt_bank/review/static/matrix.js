// Dependencies, label by label: a symmetric table whose filled cells open the evidence.

import { byId, h, plural, refill } from "./dom.js";
import { openPair } from "./pair.js";
import { state } from "./state.js";

const SMALL_CELLS = 32; // number of labels from which cells are drawn smaller
const MAX_LABELS = 150; // drawn at once, as the number of cells grows with the square
let corner = null; // data-key of the cell in the tab order (roving tabindex)

// A map from "a\u0000b", in both orders, to the dependencies that contain both labels.
function pairs() {
  const found = new Map();
  for (const dependency of state.shown.dependencies) {
    for (const a of dependency.labels) {
      for (const b of dependency.labels) {
        if (a !== b) found.set(`${a}\u0000${b}`, [...(found.get(`${a}\u0000${b}`) ?? []), dependency]);
      }
    }
  }
  return found;
}

function drawFilters() {
  const select = byId("by-condition");
  const chosen = select.value;
  const options = state.shown.conditions.filter(({ status }) => status !== "rejected").map(({ id, text }) => h("option", { value: id }, text));
  select.replaceChildren(h("option", { value: "" }, "any condition"), ...options);
  select.value = [...select.options].some((option) => option.value === chosen) ? chosen : "";
}

export function drawMatrix() {
  drawFilters();
  const governing = byId("by-condition").value;
  const all = pairs();
  const wanted = (dependency) => !governing || dependency.conditions.includes(governing);
  const filled = new Map([...all].map(([key, found]) => [key, found.filter(wanted)]).filter(([, found]) => found.length));
  const degree = new Map();
  for (const key of filled.keys()) degree.set(key.split("\u0000")[0], (degree.get(key.split("\u0000")[0]) ?? 0) + 1);
  const found = shownLabels(filled, degree);
  const labels = found.slice(0, MAX_LABELS);
  const texts = new Map(state.shown.conditions.map(({ id, text }) => [id, text]));
  const cut = found.length > MAX_LABELS ? `; the first ${MAX_LABELS} are shown, find a label to see others` : "";
  byId("matrix-count").textContent = `${plural(filled.size / 2, "pair")} among ${found.length} of ${plural(state.bank.labels.length, "label")}${cut}`;
  if (!labels.length) {
    refill(byId("matrix"), h("p", { class: "notice" }, "No label is left. Change the filters above."));
    return;
  }
  const rows = labels.map((row) => h("tr", {}, h("th", { scope: "row" }, row), labels.map((column) => cell(row, column, filled, texts))));
  const head = h("tr", {}, h("td", { class: "corner" }), labels.map((label) => h("th", { scope: "col", data: { label } }, h("span", {}, label))));
  refill(byId("matrix"), h("table", { class: labels.length > SMALL_CELLS ? "matrix small" : "matrix" }, h("thead", {}, head), h("tbody", {}, rows)));
  oneTabStop();
}

// The labels in the chosen order. A search keeps the matching labels and all labels that they depend on.
function shownLabels(filled, degree) {
  const looked = byId("find").value.trim().toLocaleLowerCase();
  const matches = (label) => label.toLocaleLowerCase().includes(looked);
  const near = (label) => matches(label) || state.bank.labels.some((other) => matches(other) && filled.has(`${label}\u0000${other}`));
  let labels = state.bank.labels.filter((label) => (looked ? near(label) : true));
  if (byId("only-filled").checked) labels = labels.filter((label) => degree.has(label));
  const places = byId("sort").value === "near" ? related(filled, degree) : new Map();
  const orders = {
    near: (a, b) => (places.get(a) ?? Infinity) - (places.get(b) ?? Infinity) || 0,
    degree: (a, b) => (degree.get(b) ?? 0) - (degree.get(a) ?? 0),
    name: (a, b) => a.localeCompare(b),
    bank: () => 0,
  };
  const first = looked ? (a, b) => Number(matches(b)) - Number(matches(a)) : () => 0;
  return [...labels].sort((a, b) => first(a, b) || orders[byId("sort").value](a, b));
}

// The positions of the labels by breadth-first search from the most connected one, so that dependent labels are close.
function related(filled, degree) {
  const places = new Map();
  const byDegree = [...degree.keys()].sort((a, b) => degree.get(b) - degree.get(a));
  for (const start of byDegree) {
    const queue = [start];
    for (const label of queue) {
      if (places.has(label)) continue;
      places.set(label, places.size);
      queue.push(...byDegree.filter((other) => !places.has(other) && filled.has(`${label}\u0000${other}`)));
    }
  }
  return places;
}

function cell(row, column, filled, texts) {
  if (row === column) return h("td", { class: "self" });
  const dependencies = filled.get(`${row}\u0000${column}`);
  if (!dependencies) return h("td", { class: "none", data: { row, column } });
  const ids = [...new Set(dependencies.flatMap(({ conditions }) => conditions))];
  const told = `${row} and ${column}: ${ids.length} – ${ids.map((id) => texts.get(id)).join(", ")}`;
  const strength = Math.ceil((4 * ids.length) / Math.max(state.shown.conditions.length, 1));
  return h(
    "td",
    { data: { row, column } },
    h("button", { type: "button", class: `s${strength}`, tabindex: "-1", title: told, aria: { label: told }, data: { key: `cell:${row}:${column}` } }, ids.length),
  );
}

function oneTabStop() {
  const cells = [...byId("matrix").querySelectorAll("td button")];
  const stop = cells.find((button) => button.dataset.key === corner) ?? cells[0];
  if (stop) stop.tabIndex = 0;
}

// Move from a cell to the next filled one in a direction.
function neighbour(button, key) {
  const td = button.closest("td");
  const row = td.parentElement;
  const column = td.cellIndex;
  const within = (cells, at) => cells.map((one, i) => [one.querySelector("button"), i - at]).filter(([found]) => found);
  const horizontal = within([...row.cells], column);
  const vertical = within([...row.parentElement.rows].map((other) => other.cells[column]), row.sectionRowIndex);
  const ahead = (list) => list.filter(([, distance]) => distance > 0)[0]?.[0];
  const behind = (list) => list.filter(([, distance]) => distance < 0).at(-1)?.[0];
  return {
    ArrowRight: () => ahead(horizontal),
    ArrowLeft: () => behind(horizontal),
    ArrowDown: () => ahead(vertical),
    ArrowUp: () => behind(vertical),
    Home: () => horizontal[0][0],
    End: () => horizontal.at(-1)[0],
  }[key]?.();
}

function show(button) {
  for (const other of byId("matrix").querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
  button.tabIndex = 0;
  corner = button.dataset.key;
  button.focus();
  button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// The dependencies of one condition.
export function showGoverned(id) {
  byId("tab-dependencies").click();
  byId("by-condition").value = id;
  drawMatrix();
  byId("by-condition").focus();
}

export function setUpMatrix() {
  const matrix = byId("matrix");
  for (const id of ["find", "by-condition", "sort", "only-filled"]) byId(id).addEventListener("input", drawMatrix);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("pair-add").addEventListener("click", () => openPair(null, null));
  matrix.addEventListener("click", (event) => {
    const td = event.target.closest("td[data-row]");
    if (td) openPair(td.dataset.row, td.dataset.column);
  });
  matrix.addEventListener("keydown", (event) => {
    const button = event.target.closest("td button");
    const next = button && neighbour(button, event.key);
    if (!next) return;
    event.preventDefault();
    show(next);
  });
  matrix.addEventListener("pointerover", (event) => {
    const column = event.target.closest("td[data-row]")?.dataset.column;
    for (const th of matrix.querySelectorAll("thead th")) th.classList.toggle("over", th.dataset.label === column);
  });
}
