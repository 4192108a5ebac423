// Dialogs that change conditions: edit, add, merge, split.

import { Refused } from "./api.js";
import { openDialog, lines } from "./dialogs.js";
import { byId, h } from "./dom.js";
import { toast } from "./notices.js";
import { act, state } from "./state.js";

const EDIT = "edit-dialog";

function fill({ text = "", definition = "", values = [], note = "" }) {
  byId("edit-text").value = text;
  byId("edit-definition").value = definition;
  byId("edit-values").value = values.join("\n");
  byId("edit-note").value = note;
}

const filled = () => ({
  text: byId("edit-text").value.trim(),
  definition: byId("edit-definition").value.trim(),
  values: lines("edit-values"),
  note: byId("edit-note").value.trim(),
});

export function editCondition(condition) {
  fill(condition);
  const submit = async () => {
    const after = filled();
    const different = Object.entries(after).filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(condition[field]));
    if (!different.length) return;
    await act({ do: "edit", id: condition.id, ...Object.fromEntries(different) });
    toast(`Edited ${after.text}.`);
  };
  openDialog(EDIT, { title: `Edit “${condition.text}”`, submit, guarded: true });
}

export function addCondition() {
  fill({});
  const submit = async () => {
    const added = filled();
    await act({ do: "add", ...added });
    toast(`Added ${added.text}; it is accepted.`);
  };
  openDialog(EDIT, { title: "Add a condition", submit, guarded: true });
}

export function mergeCondition(condition) {
  const others = state.shown.conditions.filter((other) => other.id !== condition.id);
  const boxes = others.map((other) => {
    const id = `merge-${other.id}`;
    return h(
      "div",
      { class: "check" },
      h("input", { type: "checkbox", id, value: other.id, autofocus: other === others[0] }),
      h("label", { for: id }, h("strong", {}, other.text), other.definition && h("span", { class: "hint" }, other.definition)),
    );
  });
  byId("merge-others").replaceChildren(byId("merge-others").querySelector("legend"), ...boxes);
  byId("merge-text").value = condition.text;
  byId("merge-definition").value = condition.definition;
  const submit = async () => {
    const chosen = [...byId("merge-others").querySelectorAll("input:checked")].map((box) => box.value);
    if (!chosen.length) throw new Refused(0, [{ message: "Choose at least one condition to merge with." }]);
    const text = byId("merge-text").value.trim();
    await act({ do: "merge", ids: [condition.id, ...chosen], text, definition: byId("merge-definition").value.trim() });
    toast(`Merged into ${text}.`);
  };
  openDialog("merge-dialog", { title: `Merge “${condition.text}”`, submit, guarded: true });
}

export function splitCondition(condition) {
  const parts = byId("split-parts");
  parts.replaceChildren(part(1, condition), part(2, { text: "", definition: "", values: [] }));
  byId("split-more").onclick = () => {
    parts.append(part(parts.children.length + 1, { text: "", definition: "", values: [] }));
    parts.lastElementChild.querySelector("input").focus();
  };
  const submit = async () => {
    const made = [...parts.children].map((_, i) => ({
      text: byId(`split-text-${i + 1}`).value.trim(),
      definition: byId(`split-definition-${i + 1}`).value.trim(),
      values: lines(`split-values-${i + 1}`),
    }));
    await act({ do: "split", id: condition.id, parts: made });
    toast(`Split ${condition.text} into ${made.map(({ text }) => text).join(", ")}.`);
  };
  openDialog("split-dialog", { title: `Split “${condition.text}”`, submit, guarded: true });
}

function part(number, { text, definition, values }) {
  const area = (name, label, value) => {
    const id = `split-${name}-${number}`;
    const box = h("textarea", { id, rows: "2" });
    box.value = value;
    return h("p", { class: "field" }, h("label", { for: id }, label), box);
  };
  const words = h("input", { id: `split-text-${number}`, value: text, autocomplete: "off", autofocus: number === 2 });
  return h(
    "fieldset",
    {},
    h("legend", {}, `Part ${number}`),
    h("p", { class: "field" }, h("label", { for: words.id }, "Words"), words),
    area("definition", "Definition", definition),
    area("values", "Typical values, one a line", values.join("\n")),
  );
}
