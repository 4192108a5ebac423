// The drawer of a label pair: the conditions of its dependency, and the evidence.

import { inDialog, openDialog } from "./dialogs.js";
import { button, byId, h, refill } from "./dom.js";
import { captions } from "./evidence.js";
import { toast } from "./notices.js";
import { act, state } from "./state.js";

const DRAWER = "pair-dialog";

export function openPair(a, b) {
  const choice = byId("pair-choice");
  const choose = a === null;
  choice.hidden = !choose;
  if (choose) {
    const pick = (id, label, at) => {
      const select = h("select", { id, onchange: () => draw(byId("pair-a").value, byId("pair-b").value) }, state.bank.labels.map((name) => h("option", {}, name)));
      select.selectedIndex = at;
      return h("p", { class: "field" }, h("label", { for: id }, label), select);
    };
    choice.replaceChildren(pick("pair-a", "Label", 0), pick("pair-b", "and label", Math.min(1, state.bank.labels.length - 1)));
    [a, b] = [byId("pair-a").value, byId("pair-b").value];
  }
  openDialog(DRAWER, { title: choose ? "Set a pair" : `${a} + ${b}` });
  draw(a, b);
}

function draw(a, b) {
  if (a === b) {
    refill(byId("pair-body"), h("p", { class: "soft" }, "Choose two different labels."));
    return;
  }
  const held = state.shown.dependencies.filter(({ labels }) => labels.includes(a) && labels.includes(b));
  const exact = held.some(({ labels }) => labels.length === 2);
  const listed = exact ? held : [...held, { labels: [a, b], conditions: [], because: "", evidence: [] }];
  const together = Object.entries(state.bank.captions).filter(([, { labels }]) => labels.includes(a) && labels.includes(b)).map(([id]) => id);
  refill(
    byId("pair-body"),
    ...listed.map((dependency, at) => form(dependency, at, () => draw(a, b))),
    ...rest(together.filter((id) => !held.some(({ evidence }) => evidence.includes(id))), `${a} ${b}`, () => draw(a, b)),
  );
}

function form(dependency, at, redraw) {
  const { labels, conditions, because, evidence } = dependency;
  const usable = state.shown.conditions.filter(({ id, status }) => status !== "rejected" || conditions.includes(id));
  const boxes = usable.map(({ id, text, status }) => {
    const box = `pair-${at}-${id}`;
    return h(
      "div",
      { class: "check" },
      h("input", { type: "checkbox", id: box, value: id, checked: conditions.includes(id) }),
      h("label", { for: box }, text, status === "rejected" && h("span", { class: "soft" }, " (rejected)")),
    );
  });
  const group = h("fieldset", {}, h("legend", {}, labels.length > 2 ? `Governed by, for ${labels.join(" + ")}` : "Governed by"), boxes);
  const apply = async () => {
    const chosen = [...group.querySelectorAll("input:checked")].map((input) => input.value);
    if (String(chosen) === String(conditions)) return;
    await act({ do: "set_dependency", labels, conditions: chosen });
    toast(chosen.length ? `Set what governs ${labels.join(" and ")}.` : `Nothing governs ${labels.join(" and ")} any more.`);
    redraw();
  };
  return h(
    "section",
    { class: "pair" },
    group,
    button("Apply", () => inDialog(DRAWER, apply), { class: "primary", data: { key: `pair:${labels.join()}` } }),
    because && h("p", {}, h("strong", {}, "Because "), because),
    evidence.length > 0 && h("h3", {}, "Evidence"),
    evidence.length > 0 && captions(evidence, `pair ${labels.join(" ")}`, redraw),
  );
}

function rest(ids, key, redraw) {
  if (!ids.length) return [];
  return [h("h3", {}, "Other descriptions with both"), ...captions(ids, `rest ${key}`, redraw).filter(Boolean)];
}
