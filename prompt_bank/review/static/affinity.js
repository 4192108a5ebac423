// The heat map of a condition's affinity. It is drawn only while its dialog is open.

import { Refused } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, byId, h, plural } from "./dom.js";
import { attempt } from "./notices.js";
import { act, askAffinity, find } from "./state.js";

const DIALOG = "affinity-dialog";
const USUAL = 2; // log-lifts that a click sets; see editing/cells.py
const NEVER = -2;
const SMALL_CELLS = 40; // number of values from which cells are drawn smaller
const PAGE = 10; // rows of Page Up and Page Down

let shown = null; // the open heat map: {id, labels, values, numbers, corrected, cells}
let focused = null; // [row, column] of the cell in the tab order (roving tabindex)

// The link from a card to the heat map; a condition without values has none.
export function affinityButton({ id, text, values, matrix }) {
  if (!values.length) return null;
  const corrected = matrix?.corrected ? `, ${matrix.corrected} set by hand` : "";
  const told = matrix ? `${plural(matrix.labels, "label")} × ${plural(values.length, "value")}${corrected}` : "say what is usual";
  return button(told, () => openAffinity(id), { class: "link", data: { key: `affinity:${id}` }, aria: { label: `How usual labels are by ${text}: ${told}` } });
}

async function openAffinity(id) {
  const opened = await attempt(() => askAffinity(id));
  if (!opened) return;
  shown = null;
  take(id, opened);
  focused = [0, 0];
  byId("affinity-label").value = byId("affinity-value").value = "";
  byId("affinity-asked").textContent = opened.asked.length ? `Asked: ${opened.asked.join("; ")}.` : "No model was asked: every number was set by hand.";
  openDialog(DIALOG, { title: `How usual are labels by “${find(id).text}”?` });
  byId(DIALOG).addEventListener("close", clear, { once: true });
  drawHeat();
}

function clear() {
  shown = null;
  byId("affinity-grid").replaceChildren();
}

function take(id, { labels, values, rows, corrected }) {
  const marks = new Map(corrected.map(([row, column, mined, by]) => [`${row}:${column}`, { mined, by }]));
  shown = { id, labels, values, numbers: rows.map((row) => row ?? values.map(() => null)), corrected: marks, cells: shown?.cells ?? new Map() };
}

// Update the existing cells after an edit.
export async function refreshAffinity() {
  if (!shown || !byId(DIALOG).open) return;
  const before = shown;
  let opened;
  try {
    opened = await askAffinity(before.id);
  } catch (error) {
    if (error instanceof Refused) byId(DIALOG).close(); // the condition no longer exists
    else throw error;
    return;
  }
  if (shown !== before) return;
  const same = String(before.values) === String(opened.values) && String(before.labels) === String(opened.labels);
  take(before.id, opened);
  if (!same) drawHeat();
  else for (const [key, td] of shown.cells) dress(td, ...key.split(":").map(Number));
  if (focused) tell(...focused);
}

function drawHeat() {
  const { labels, values } = shown;
  const kept = (names, id) => {
    const looked = byId(id).value.trim().toLocaleLowerCase();
    return names.map((name, at) => [name, at]).filter(([name]) => name.toLocaleLowerCase().includes(looked));
  };
  const rows = kept(labels, "affinity-label");
  const columns = kept(values, "affinity-value");
  shown.cells = new Map();
  byId("affinity-count").textContent = `${rows.length} of ${plural(labels.length, "label")}, ${columns.length} of ${plural(values.length, "value")}`;
  const cell = (row, column) => {
    const td = dress(h("td", { role: "gridcell", tabindex: "-1", data: { key: `heat:${row}:${column}` } }), row, column);
    shown.cells.set(`${row}:${column}`, td);
    return td;
  };
  const head = h("tr", {}, h("td", { class: "corner" }), columns.map(([value, at]) => h("th", { scope: "col", data: { column: at } }, h("span", { title: value }, value))));
  const body = rows.map(([label, row]) => h("tr", {}, h("th", { scope: "row", title: label }, label), columns.map(([, column]) => cell(row, column))));
  const table = h("table", { role: "grid", class: columns.length > SMALL_CELLS ? "matrix heat small" : "matrix heat", aria: { label: "Labels by values" } }, h("thead", {}, head), h("tbody", {}, body));
  byId("affinity-grid").replaceChildren(rows.length && columns.length ? table : h("p", { class: "notice" }, "Nothing matches. Change the filters above."));
  if (!shown.cells.has(String(focused?.join(":")))) focused = rows.length && columns.length ? [rows[0][1], columns[0][1]] : null;
  if (focused) reach(...focused);
}

// The colour step, from −3 (never) to 3 (very usual); null if not asked.
function strength(number) {
  if (number === null) return null;
  const size = [0.25, 1, 2].filter((bound) => Math.abs(number) >= bound).length;
  return Math.sign(number) * size;
}

function dress(td, row, column) {
  const number = shown.numbers[row][column];
  const level = strength(number);
  const by = shown.corrected.get(`${row}:${column}`);
  const text = number === null ? "·" : signed(number, 1);
  const kind = level === null ? "na" : level > 0 ? `p${level}` : level < 0 ? `n${-level}` : "z";
  const wanted = by ? `${kind} set` : kind;
  if (td.textContent !== text) td.textContent = text;
  if (td.className !== wanted) td.className = wanted;
  if (by || number === null) td.setAttribute("aria-label", number === null ? "not asked" : `${signed(number, 1)}, set by hand`);
  else td.removeAttribute("aria-label");
  return td;
}

function signed(number, digits) {
  const size = Math.abs(number).toFixed(digits);
  if (Number(size) === 0) return "0";
  return `${number > 0 ? "+" : "−"}${size}`;
}

function tell(row, column) {
  const number = shown.numbers[row][column];
  const by = shown.corrected.get(`${row}:${column}`);
  const words = { "-3": "never goes together", "-2": "unusual", "-1": "rather unusual", 0: "neither usual nor unusual", 1: "rather usual", 2: "usual", 3: "very usual" };
  const said = number === null ? "not asked" : `${words[strength(number)]}, ${signed(number, 2)}`;
  const mined = by && (by.mined === null ? "mining did not ask" : `mined ${signed(by.mined, 2)}`);
  const set = by && `set by ${by.by || "you"}, ${mined}`;
  byId("affinity-told").textContent = `${shown.labels[row]} under ${shown.values[column]}: ${[said, set].filter(Boolean).join("; ")}`;
  for (const th of byId("affinity-grid").querySelectorAll("thead th")) th.classList.toggle("over", Number(th.dataset.column) === column);
}

// Cycle through usual, never and as mined.
function next(row, column) {
  const number = shown.numbers[row][column];
  const corrected = shown.corrected.has(`${row}:${column}`);
  if (!corrected) return number === USUAL ? NEVER : USUAL;
  return number > 0 ? NEVER : null;
}

function set(row, column, number) {
  const { id, labels, values } = shown;
  if (number === null && !shown.corrected.has(`${row}:${column}`)) return;
  attempt(() => act({ do: "set_cell", id, label: labels[row], value: values[column], ...(number === null ? {} : { number }) }));
}

function reach(row, column) {
  for (const td of byId("affinity-grid").querySelectorAll('td[tabindex="0"]')) td.tabIndex = -1;
  const td = shown.cells.get(`${row}:${column}`);
  td.tabIndex = 0;
  focused = [row, column];
  return td;
}

const placeOf = (td) => td.dataset.key.split(":").slice(1).map(Number);

// Move between cells with the keyboard.
function neighbour(td, event) {
  const row = td.parentElement;
  const rows = [...row.parentElement.rows];
  const at = row.sectionRowIndex;
  const column = td.cellIndex;
  const bounded = (to) => rows[Math.min(Math.max(to, 0), rows.length - 1)].cells[column];
  const moves = {
    ArrowRight: () => row.cells[column + 1],
    ArrowLeft: () => row.cells[column - 1],
    ArrowDown: () => bounded(at + 1),
    ArrowUp: () => bounded(at - 1),
    PageDown: () => bounded(at + PAGE),
    PageUp: () => bounded(at - PAGE),
    Home: () => (event.ctrlKey ? rows[0] : row).cells[1],
    End: () => (event.ctrlKey ? rows.at(-1) : row).cells[row.cells.length - 1],
  };
  return moves[event.key]?.();
}

export function setUpAffinity() {
  const grid = byId("affinity-grid");
  const cellOf = (event) => event.target.closest('td[role="gridcell"]');
  for (const id of ["affinity-label", "affinity-value"]) {
    byId(id).addEventListener("input", () => shown && drawHeat());
    byId(id).addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  }
  grid.addEventListener("click", (event) => {
    const td = cellOf(event);
    if (!td) return;
    const place = placeOf(td);
    reach(...place).focus();
    set(...place, next(...place));
  });
  grid.addEventListener("keydown", (event) => {
    const td = cellOf(event);
    if (!td) return;
    const place = placeOf(td);
    const numbers = { Enter: next(...place), " ": next(...place), "+": USUAL, "-": NEVER, 0: null, Delete: null };
    if (event.key in numbers && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      set(...place, numbers[event.key]);
      return;
    }
    const to = neighbour(td, event);
    if (to?.getAttribute("role") !== "gridcell") return;
    event.preventDefault();
    reach(...placeOf(to)).focus();
    to.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  grid.addEventListener("focusin", (event) => cellOf(event) && tell(...placeOf(cellOf(event))));
  let under = null; // not pointerover, which also fires when the keys scroll cells under a resting pointer
  grid.addEventListener("pointermove", (event) => {
    const td = cellOf(event);
    if (td && td !== under) tell(...placeOf(td));
    under = td;
  });
}
