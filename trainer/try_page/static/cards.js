// One card per picture: the picture with a heat map, its labels, and why.

import { button, byId, h, plural } from "./dom.js";
import { drawHeat } from "./heat.js";
import { percentage, share } from "./numbers.js";
import { isFound, ranked, state, thresholdOf } from "./state.js";
import { refreshOwn, why } from "./why.js";

const FIRST = 5; // labels that are listed at least
const RATIOS = [0.4, 4]; // width to height of a picture's frame; a more extreme picture is squeezed

export const cardOf = (picture) => byId("pictures").querySelector(`[data-id="${picture.id}"]`);

// actions: choose(picture, label), all(picture), remove(picture), own(label, threshold)
export function newCard(picture, actions) {
  const card = h("article", { class: "card", tabindex: "-1", data: { id: picture.id }, aria: { label: picture.name } });
  fillCard(card, picture, actions);
  return card;
}

export function fillCard(card, picture, actions) {
  const parts = picture.answer ? answered(picture, actions) : [message(picture)];
  const head = h("div", { class: "card-head" }, h("h2", {}, picture.name), button("Remove", () => actions.remove(picture), { class: "icon", icon: "close" }));
  keepFocus(card, () => card.replaceChildren(head, ...parts));
}

// Redraw what depends on thresholds and on whether heat maps are shown; a slider that is being dragged stays.
export function refreshCard(card, picture, actions) {
  keepFocus(card, () => card.querySelector(".labels").replaceWith(labels(picture, actions)));
  card.querySelector(".heat").hidden = hidesHeat(picture);
  refreshOwn(card, picture);
}

function keepFocus(card, work) {
  const key = card.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  work();
  if (key && !card.contains(document.activeElement)) card.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

const hidesHeat = ({ answer }) => !state.heat || !answer.places;

function message({ problem }) {
  if (problem) return h("p", { class: "problem", role: "alert" }, problem);
  return h("p", { class: "soft waiting" }, "Waiting for its answer …");
}

function answered(picture, actions) {
  return [photo(picture), labels(picture, actions), why(picture, actions)];
}

function photo(picture) {
  const { name, answer, label } = picture;
  const [width, height] = answer.size;
  const image = h("img", { src: answer.picture, alt: name, width, height, decoding: "async" });
  const frame = h("div", { class: "photo" }, image);
  frame.style.setProperty("--ratio", Math.min(RATIOS[1], Math.max(RATIOS[0], width / height)));
  const seen = h("canvas", { class: "heat", role: "img", hidden: hidesHeat(picture), aria: { label: `Heat map of ${state.model.labels[label]}` } });
  const [left, top, across, down] = answer.square;
  for (const [side, share] of Object.entries({ left, top, width: across, height: down })) seen.style[side] = `${100 * share}%`;
  if (answer.places) drawHeat(seen, answer.places, label);
  frame.append(seen);
  return h("div", { class: "photo-side" }, frame, caption(answer, label));
}

function caption({ places, square }, label) {
  const cropped = Math.min(square[2], square[3]) < 0.995 ? " The model sees the square in the middle." : "";
  if (!places) return h("p", { class: "soft small" }, `No heat map: the picture is scored as a whole.${cropped}`);
  const even = 1 / (places.rows * places.columns);
  const peak = places.peaks[label];
  return h(
    "p",
    { class: "soft small" },
    h("i", { class: "scale", aria: { hidden: "true" } }),
    `Patches of ${state.model.labels[label]}: the brightest has ${share(peak)} of the weight (all alike: ${share(even)}).${cropped}`,
  );
}

function labels(picture, actions) {
  const order = ranked(picture);
  const found = order.filter((label) => isFound(picture, label));
  const firsts = new Set([...found, ...order.slice(0, Math.max(FIRST, found.length)), picture.label]);
  const shown = picture.all ? order : order.filter((label) => firsts.has(label));
  const hidden = order.length - shown.length;
  const more = picture.all ? "Only the first labels" : `All ${order.length} labels`;
  return h(
    "div",
    { class: "labels" },
    h("h3", {}, found.length ? `${plural(found.length, "label")} above the threshold` : "No label is above the threshold"),
    h("ul", {}, shown.map((label) => row(picture, label, actions))),
    (hidden > 0 || (picture.all && order.length > FIRST)) && button(more, () => actions.all(picture), { class: "link", data: { key: "all" } }),
  );
}

function row(picture, label, actions) {
  const probability = picture.answer.probabilities[label];
  const found = isFound(picture, label);
  const name = state.model.labels[label];
  const fill = h("i", { class: "fill" });
  fill.style.width = `${100 * probability}%`;
  const mark = h("i", { class: "mark" });
  mark.style.left = `${100 * thresholdOf(label)}%`;
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: found ? "label found" : "label",
        onclick: () => actions.choose(picture, label),
        aria: { pressed: String(label === picture.label), label: `${name}, ${percentage(probability)}, ${found ? "above" : "below"} the threshold` },
        data: { key: `label:${label}`, label },
      },
      h("span", { class: "name" }, name),
      h("span", { class: "track" }, fill, mark),
      h("span", { class: "number" }, percentage(probability)),
    ),
  );
}
