// The page for trying a model: takes pictures in, redraws their cards, and connects buttons and keys.

import { cardOf, fillCard, newCard, refreshCard } from "./cards.js";
import { openDialog, setUpDialogs } from "./dialogs.js";
import { byId, dressButtons, h, plural } from "./dom.js";
import { setUpKeys } from "./keys.js";
import { toast } from "./notices.js";
import { percentage } from "./numbers.js";
import { add, find, isAnswered, isFound, MAX_PICTURES, open, remove, state } from "./state.js";
import { switchTheme } from "./theming.js";

const actions = {
  choose(picture, label) {
    picture.label = label;
    draw(picture);
  },
  all(picture) {
    picture.all = !picture.all;
    draw(picture);
  },
  remove(picture) {
    const next = cardOf(picture).nextElementSibling ?? cardOf(picture).previousElementSibling;
    remove(({ id }) => id !== picture.id);
    cardOf(picture).remove();
    (next ?? byId("choose")).focus();
    drawControls();
  },
  own(label, threshold) {
    if (threshold === null) state.own.delete(label);
    else state.own.set(label, threshold);
    refresh();
  },
};

function draw(picture) {
  fillCard(cardOf(picture), picture, actions);
}

function takeIn(files) {
  const added = add(files, (picture) => {
    draw(picture);
    drawControls();
  });
  byId("pictures").append(...added.map((picture) => newCard(picture, actions)));
  if (added.length < files.length) toast(`Only ${MAX_PICTURES} pictures fit on the page; fedmpt predict takes any number.`, "failed");
  drawControls();
  if (added.length) cardOf(added[0]).scrollIntoView({ block: "nearest" });
}

function drawControls() {
  const some = state.pictures.length > 0;
  byId("controls").hidden = !some;
  byId("start").hidden = some;
  byId("threshold").value = state.threshold;
  byId("threshold-value").textContent = percentage(state.threshold);
  const moved = state.threshold !== state.model.threshold || state.own.size > 0;
  byId("reset").hidden = !moved;
  byId("reset").textContent = `Back to ${percentage(state.model.threshold)}`;
  byId("reset").title = "The threshold chosen on validation images, for all labels";
  byId("summary").textContent = summary();
}

function summary() {
  const answered = state.pictures.filter(({ answer }) => answer);
  const counts = answered.map((picture) => picture.answer.probabilities.filter((_, label) => isFound(picture, label)).length);
  const labels = counts.reduce((sum, count) => sum + count, 0);
  const empty = counts.filter((count) => count === 0).length;
  const waiting = state.pictures.filter((picture) => !isAnswered(picture)).length;
  return [
    answered.length && `${plural(labels, "label")} on ${plural(answered.length, "picture")}`,
    empty && `${empty} without a label`,
    waiting && `${waiting} waiting`,
  ].filter(Boolean).join(" · ");
}

// Refresh all cards, at most once per frame: a slider moves faster than hundreds of cards are drawn.
let planned = false;
function refresh() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    for (const picture of state.pictures.filter(({ answer }) => answer)) refreshCard(cardOf(picture), picture, actions);
    drawControls();
  });
}

function setThreshold(value) {
  state.threshold = Math.min(1, Math.max(0, Math.round(100 * value) / 100));
  refresh();
}

function reset() {
  state.own.clear();
  state.threshold = state.model.threshold;
  refresh();
}

function setHeat(on) {
  state.heat = byId("heat").checked = on;
  refresh();
}

function clear() {
  remove(() => false);
  byId("pictures").replaceChildren();
  drawControls();
  byId("drop").focus();
}

// The picture whose card has the focus; otherwise the first that is not above the window.
function current() {
  const focused = document.activeElement.closest?.("#pictures .card");
  const cards = [...byId("pictures").children];
  const card = focused ?? cards.find((one) => one.getBoundingClientRect().bottom > byId("controls").getBoundingClientRect().bottom + 80);
  return card ? find(Number(card.dataset.id)) : null;
}

const onCurrent = (work) => () => {
  const picture = current();
  if (picture) work(picture);
};

const onAnswered = (work) => onCurrent((picture) => picture.answer && work(picture));

function step(by) {
  const focused = document.activeElement.closest?.("#pictures .card");
  const cards = [...byId("pictures").children];
  const at = focused ? cards.indexOf(focused) + by : by > 0 ? 0 : cards.length - 1;
  const card = cards[Math.min(cards.length - 1, Math.max(0, at))];
  card?.focus();
  card?.scrollIntoView({ block: "nearest" });
}

// Choose the next label in the list of the current picture.
const stepLabel = (by) =>
  onAnswered((picture) => {
    const shown = [...cardOf(picture).querySelectorAll("button.label")].map((one) => Number(one.dataset.label));
    const label = shown[shown.indexOf(picture.label) + by];
    if (label === undefined) return;
    actions.choose(picture, label);
    cardOf(picture).querySelector(`[data-key="label:${label}"]`).focus({ preventScroll: false });
  });

function choose() {
  byId("files").click();
}

function setUpTakingIn() {
  byId("files").addEventListener("change", (event) => {
    takeIn([...event.target.files]);
    event.target.value = ""; // so that the same files can be chosen again
  });
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!holdsFiles(event)) return;
    event.preventDefault();
    takeIn([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => takeIn([...(event.clipboardData?.files ?? [])]));
}

function setUp() {
  dressButtons(document);
  setUpDialogs();
  setUpTakingIn();
  const help = () => openDialog("help-dialog", {});
  const clicks = { theme: switchTheme, help, choose, drop: choose, reset, clear };
  for (const [id, work] of Object.entries(clicks)) byId(id).addEventListener("click", work);
  byId("threshold").addEventListener("input", (event) => setThreshold(Number(event.target.value)));
  byId("heat").addEventListener("change", (event) => setHeat(event.target.checked));
  setUpKeys({
    o: choose,
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: stepLabel(1),
    ArrowUp: stepLabel(-1),
    "[": () => setThreshold(state.threshold - 0.01),
    "]": () => setThreshold(state.threshold + 0.01),
    t: reset,
    h: () => setHeat(!state.heat),
    a: onAnswered(actions.all),
    x: onCurrent(actions.remove),
    "?": help,
  });
}

function introduce() {
  const { source, labels, conditions, threshold } = state.model;
  byId("model-name").textContent = source.run;
  byId("model-origin").textContent = `${source.title} · ${plural(source.rounds, "round")} · ${source.backbone}`;
  document.title = `${source.run} – try`;
  const list = labels.slice(0, 30).join(", ") + (labels.length > 30 ? ` and ${labels.length - 30} more` : "");
  const named = conditions ? ` It weighs ${plural(conditions.length, "condition")}: ${conditions.join(", ")}.` : "";
  byId("lead").textContent = `It knows ${plural(labels.length, "label")}: ${list}.${named} A label counts as found above ${percentage(threshold)}, as chosen on validation images.`;
  byId("choose").disabled = byId("drop").disabled = false;
  drawControls();
}

setUp();
try {
  await open();
  introduce();
  document.body.classList.add("ready");
} catch (error) {
  console.error(error);
  byId("start-heading").textContent = error.status === 403 ? "Open the address that the terminal shows" : "The model cannot be shown";
  byId("lead").replaceChildren(h("span", { class: "problem", role: "alert" }, error.message));
}
