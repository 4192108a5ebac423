// Why a label has its score: what each condition adds, and the label's own threshold.

import { button, h } from "./dom.js";
import { percentage, share, signed } from "./numbers.js";
import { state, thresholdOf } from "./state.js";

export function why(picture, actions) {
  const { answer, label } = picture;
  const name = state.model.labels[label];
  return h(
    "div",
    { class: "why" },
    h("h3", {}, `Why ${name}: ${percentage(answer.probabilities[label])}`),
    answer.adds || answer.context.length ? parts(answer, label) : h("p", { class: "soft small" }, "This method has no conditions."),
    h("p", { class: "soft small" }, `Heat map: ${answer.places_are}.`),
    ownThreshold(picture, name, actions),
  );
}

function parts({ gate, scores, adds, context, logits }, label) {
  const own = adds ? adds[label] : [];
  const order = own.map((_, n) => n).sort((a, b) => own[b] - own[a]);
  const widest = Math.max(...own.map(Math.abs), Math.abs(context[label] ?? 0), 1e-9);
  const head = ["Condition", "Gate", "Score", "Adds"].map((text, i) => h("th", { scope: "col", class: i === 2 && "score" }, text));
  const rows = order.map((n) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, state.model.conditions[n]),
      h("td", { class: "gate" }, bar(gate[n], 0, 1 / gate.length), share(gate[n])),
      h("td", { class: "score" }, scores[label][n].toFixed(3)),
      h("td", { class: "adds" }, bar(own[n] / widest / 2, 0.5, 0.5), signed(own[n])),
    ),
  );
  if (context.length) rows.push(contextRow(context[label], widest));
  const sum = h("tr", { class: "sum" }, h("th", { scope: "row" }, "Logit"), h("td"), h("td", { class: "score" }), h("td", { class: "adds" }, h("span"), signed(logits[label])));
  return h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows, sum));
}

function contextRow(added, widest) {
  const title = "What the values of the bank's conditions, as CLIP sees them in the picture, imply for the label";
  return h(
    "tr",
    { title },
    h("th", { scope: "row" }, "Context"),
    h("td"),
    h("td", { class: "score" }),
    h("td", { class: "adds" }, bar(added / widest / 2, 0.5, 0.5), signed(added)),
  );
}

// A bar from a start, with a mark, all as shares of its track; a negative one goes to the left.
function bar(length, start, marked) {
  const mark = h("i", { class: "middle" });
  mark.style.left = `${100 * marked}%`;
  const fill = h("i", { class: length < 0 ? "fill less" : "fill" });
  fill.style.left = `${100 * Math.min(start, start + length)}%`;
  fill.style.width = `${100 * Math.abs(length)}%`;
  return h("span", { class: "track", aria: { hidden: "true" } }, fill, mark);
}

function ownThreshold({ id, label }, name, actions) {
  const field = `own-${id}`;
  const row = h(
    "p",
    { class: "slide own" },
    h("label", { for: field }, `Threshold of ${name}`),
    h("input", { type: "range", id: field, min: 0, max: 1, step: 0.01, oninput: (event) => actions.own(label, Number(event.target.value)), data: { key: "own" } }),
    h("output", { for: field }),
    button("As for all", () => actions.own(label, null), { class: "link", data: { key: "as-all" } }),
  );
  showOwn(row, label);
  return row;
}

export function refreshOwn(card, { label }) {
  showOwn(card.querySelector(".own"), label);
}

function showOwn(row, label) {
  const value = thresholdOf(label);
  row.querySelector("input").value = value;
  row.querySelector("output").textContent = percentage(value);
  row.querySelector("button").style.visibility = state.own.has(label) ? "visible" : "hidden"; // keeps the slider's width
}
