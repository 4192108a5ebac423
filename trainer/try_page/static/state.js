// The model, the pictures with their answers, and the thresholds. Nothing of it is stored.

import { ask, Refused } from "./api.js";

export const state = {
  model: null,
  pictures: [], // {id, name, answer, problem, label: index of the chosen one, all: whether all labels are listed}
  threshold: 0,
  own: new Map(), // thresholds of single labels, by index
  heat: true,
};

export const MAX_PICTURES = 300;
const AT_ONCE = 2; // requests

let nextId = 0;
let running = 0;
const waiting = [];

export async function open() {
  state.model = await ask("model");
  state.threshold = state.model.threshold;
}

export const thresholdOf = (label) => state.own.get(label) ?? state.threshold;
export const isFound = (picture, label) => picture.answer.probabilities[label] > thresholdOf(label);
export const find = (id) => state.pictures.find((picture) => picture.id === id);
export const isAnswered = (picture) => Boolean(picture.answer || picture.problem);

// Indices of the labels, the most probable first.
export function ranked({ answer }) {
  return answer.probabilities.map((_, label) => label).sort((a, b) => answer.probabilities[b] - answer.probabilities[a]);
}

// Add files and ask for their answers; changed(picture) is called when one arrives. Returns the new pictures.
export function add(files, changed) {
  const room = MAX_PICTURES - state.pictures.length;
  const added = files.slice(0, room).map((file) => {
    const picture = { id: nextId++, name: file.name || "pasted picture", answer: null, problem: null, label: null, all: false };
    waiting.push({ picture, file });
    return picture;
  });
  state.pictures.push(...added);
  for (let i = 0; i < AT_ONCE; i++) work(changed);
  return added;
}

export function remove(kept) {
  state.pictures = state.pictures.filter(kept);
}

async function work(changed) {
  if (running >= AT_ONCE) return;
  running++;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { picture, file } = next;
    if (!find(picture.id)) continue;
    await fill(picture, file);
    if (find(picture.id)) changed(picture);
  }
  running--;
}

async function fill(picture, file) {
  const limit = state.model.max_bytes;
  if (file.size > limit) {
    picture.problem = `the file has ${megabytes(file.size)} MB; the limit is ${megabytes(limit)} MB`;
    return;
  }
  const content = await file.arrayBuffer().catch(() => null);
  if (content === null) {
    picture.problem = "the browser cannot read it; if it is a folder, drop the pictures that are in it";
    return;
  }
  try {
    picture.answer = await ask("picture", new Blob([content]));
    picture.label = ranked(picture)[0];
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    picture.problem = error.message;
  }
}

const megabytes = (bytes) => Math.ceil(bytes / 2 ** 20);
