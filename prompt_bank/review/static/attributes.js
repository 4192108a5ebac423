// The labels with their attributes, for methods whose prompts name them. The tab is shown only if the bank has any.

import { lines, openDialog } from "./dialogs.js";
import { button, byId, h, refill } from "./dom.js";
import { toast } from "./notices.js";
import { act, state } from "./state.js";

const DIALOG = "attributes-dialog";

export const hasAttributes = () => state.shown.attributes.length > 0;

export function drawAttributes() {
  byId("tab-labels").hidden = !hasAttributes();
  byId("count-labels").textContent = state.shown.attributes.length;
  refill(byId("labels-list"), ...state.shown.attributes.map(row));
}

function row({ label, attributes, edited }) {
  const shown = attributes.length ? h("ul", { class: "values", aria: { label: `Attributes of ${label}` } }, attributes.map((one) => h("li", {}, one))) : h("p", { class: "soft" }, "none");
  return h(
    "article",
    { class: "card", data: { key: `label:${label}` } },
    h(
      "div",
      { class: "card-main" },
      h("div", { class: "card-head" }, h("h2", {}, label), edited && h("span", { class: "soft origin" }, "edited")),
      shown,
      h("div", { class: "actions" }, button("Edit", () => edit({ label, attributes }), { icon: "pencil", data: { key: `attributes:${label}` }, aria: { label: `Edit the attributes of ${label}` } })),
    ),
  );
}

function edit({ label, attributes }) {
  byId("attributes-text").value = attributes.join("\n");
  const submit = async () => {
    const after = lines("attributes-text");
    if (JSON.stringify(after) === JSON.stringify(attributes)) return;
    await act({ do: "set_attributes", label, attributes: after });
    toast(`Edited the attributes of ${label}.`);
  };
  openDialog(DIALOG, { title: `What does ${label} look like?`, submit, guarded: true });
}
