// The conditions as cards.

import { affinityButton } from "./affinity.js";
import { button, byId, h, icon, percent, plural, refill } from "./dom.js";
import { captions } from "./evidence.js";
import { editCondition, mergeCondition, splitCondition } from "./forms.js";
import { showGoverned } from "./matrix.js";
import { attempt, toast } from "./notices.js";
import { act, find, state } from "./state.js";

const STATUS = { proposed: "Proposed", accepted: "Accepted", rejected: "Rejected" };
const ORIGIN = { mined: null, edited: "edited", added: "added by hand" };
const FIRST_VALUES = 16;
let current = null; // id of the condition that the keys act on

export function drawCards() {
  const { conditions } = state.shown;
  if (!find(current)) current = conditions[0]?.id ?? null;
  const empty = h("p", { class: "notice" }, "There are no conditions yet. Add one, or mine some: fedmpt mine-conditions.");
  refill(byId("cards"), ...(conditions.length ? conditions.map(card) : [empty]));
}

function card(condition, at) {
  const { id, text, status } = condition;
  const heading = `condition-${id}`;
  return h(
    "article",
    {
      class: "card",
      tabindex: "0",
      aria: { labelledby: heading, current: String(id === current) },
      data: { key: `card:${id}`, id, status },
      onfocusin: () => choose(id),
      onpointerdown: () => choose(id),
    },
    h(
      "div",
      { class: "card-main" },
      h(
        "div",
        { class: "card-head" },
        h("h2", { id: heading }, h("span", { class: "place", aria: { hidden: "true" } }, at + 1), h("span", { class: "words" }, text)),
        h("span", { class: `status ${status}` }, STATUS[status]),
        ORIGIN[condition.origin] && h("span", { class: "soft origin" }, ORIGIN[condition.origin]),
      ),
      condition.definition && h("p", { class: "definition" }, condition.definition),
      condition.values.length > 0 &&
        h("ul", { class: "values", aria: { label: "Values" } }, chips(condition.values)),
      support(condition),
      condition.note && h("p", { class: "note" }, h("strong", {}, "Note "), condition.note),
      actions(condition, at),
    ),
    evidence(condition),
  );
}

function chips(values) {
  const rest = values.length - FIRST_VALUES;
  return [...values.slice(0, FIRST_VALUES).map((value) => h("li", {}, value)), rest > 0 && h("li", { class: "soft" }, `and ${rest} more`)];
}

function support(condition) {
  const { id, support: share } = condition;
  const total = Object.keys(state.bank.captions).length;
  const told = total ? `explains ${percent(share)} of ${plural(total, "description")}` : `explains ${percent(share)} of the descriptions`;
  const pairs = state.shown.dependencies.filter(({ conditions }) => conditions.includes(id)).length;
  return h(
    "div",
    { class: "support" },
    share === null ? h("span", { class: "soft" }, "support not measured") : [h("meter", { value: share, min: 0, max: 1, aria: { hidden: "true" } }), h("span", {}, told)],
    pairs > 0 && button(`governs ${plural(pairs, "label pair")}`, () => showGoverned(id), { class: "link", data: { key: `governs:${id}` } }),
    affinityButton(condition),
  );
}

function evidence({ id, evidence: ids }) {
  return h(
    "div",
    { class: "card-evidence" },
    h("h3", {}, "Descriptions it explains"),
    ids.length ? captions(ids, id, drawCards) : h("p", { class: "soft" }, "None are recorded."),
  );
}

function actions(condition, at) {
  const { id, text, status } = condition;
  const decision = (name, word, symbol) =>
    button(word, () => decide(id, name), {
      icon: symbol,
      class: `decide ${name}`,
      aria: { pressed: String(status === `${name}ed`), label: `${word} ${text}` },
      data: { key: `${name}:${id}` },
    });
  return h(
    "div",
    { class: "actions" },
    decision("accept", "Accept", "check"),
    decision("reject", "Reject", "close"),
    button("Edit", () => editCondition(condition), { icon: "pencil", data: { key: `edit:${id}` }, aria: { label: `Edit ${text}` } }),
    more(condition, at),
  );
}

function more(condition, at) {
  const { id, text } = condition;
  const item = (word, symbol, work, off = false) => button(word, work, { icon: symbol, disabled: off, data: { key: `${word}:${id}` } });
  const last = state.shown.conditions.length - 1;
  return h(
    "details",
    { class: "menu", ontoggle: (event) => event.target.open && event.target.lastElementChild.scrollIntoView({ block: "nearest" }) },
    h("summary", { aria: { label: `More for ${text}` }, title: "More", data: { key: `more:${id}` } }, icon("more")),
    h(
      "div",
      { class: "menu-items" },
      item("Merge with…", "merge", () => mergeCondition(condition), last < 1),
      item("Split…", "split", () => splitCondition(condition)),
      item("Move up", "up", () => move(id, -1), at === 0),
      item("Move down", "down", () => move(id, 1), at === last),
      item("Remove", "trash", () => attempt(() => act({ do: "remove", id }), `Removed ${text}.`)),
    ),
  );
}

function choose(id) {
  current = id;
  for (const element of byId("cards").querySelectorAll(".card")) element.setAttribute("aria-current", String(element.dataset.id === id));
}

function focusCard(id) {
  choose(id);
  const element = byId("cards").querySelector(`[data-key="${CSS.escape(`card:${id}`)}"]`);
  element?.focus({ preventScroll: true });
  element?.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// Accept or reject; if already decided so, revert the decision.
async function decide(id, name) {
  let told = "";
  const operation = () => {
    const { text, status } = find(id);
    const back = status === `${name}ed`;
    told = back ? `${text} is a proposal again.` : `${name === "accept" ? "Accepted" : "Rejected"} ${text}.`;
    return { do: back ? "propose" : name, id };
  };
  if (await attempt(() => act(operation))) toast(told);
}

async function move(id, step) {
  const operation = () => {
    const position = state.shown.conditions.findIndex((condition) => condition.id === id) + step;
    return position >= 0 && position < state.shown.conditions.length ? { do: "move", id, position } : null;
  };
  if (!(await attempt(() => act(operation)))) return;
  toast(`${find(id).text} is number ${state.shown.conditions.findIndex((condition) => condition.id === id) + 1}.`);
  focusCard(id);
}

// The keyboard actions on the current card.
export const onCurrent = {
  step(by) {
    const ids = state.shown.conditions.map((condition) => condition.id);
    if (!ids.length) return;
    const focused = byId("cards").contains(document.activeElement);
    const to = focused ? ids.indexOf(current) + by : ids.indexOf(current);
    focusCard(ids[Math.min(Math.max(to, 0), ids.length - 1)]);
  },
  decide: (name) => current && decide(current, name),
  edit: () => current && editCondition(find(current)),
  merge: () => current && state.shown.conditions.length > 1 && mergeCondition(find(current)),
  split: () => current && splitCondition(find(current)),
  move: (by) => current && move(current, by),
};
