// The bank as sent by the server, and the unsaved edits. The server applies the edits.

import { ask, Refused } from "./api.js";

export const state = {
  id: null, // the id of this page's draft
  bank: null, // the parts that edits do not change: labels, captions, …
  base: null, // hash of the content that the edits are based on
  operations: [],
  undone: [],
  shown: null, // conditions, dependencies, attributes and changes after the edits
};

const PATIENCE = 2000; // ms

let changed = () => {};
export const onChange = (listener) => (changed = listener);

// Requests are sent one at a time, in the order of the user's actions.
let last = Promise.resolve();
function inTurn(work) {
  const turn = last.then(work);
  last = turn.catch(() => {});
  return turn;
}

const draft = (operations, undone, base = state.base) => ({ id: state.id, base, operations, undone });

async function preview(operations, undone, base = state.base) {
  const shown = await ask("preview", draft(operations, undone, base));
  Object.assign(state, { base, operations, undone, shown });
  changed();
}

export const unsaved = () => state.operations.length;
export const find = (id) => state.shown.conditions.find((condition) => condition.id === id);

// Add an edit: an operation, or a function that computes it from the current state when its turn comes; null for none.
export const act = (operation) =>
  inTurn(async () => {
    const asked = typeof operation === "function" ? operation() : operation;
    if (asked) await preview([...state.operations, asked], []);
  });

// The affinity of a condition after the edits.
export const askAffinity = (id) => inTurn(() => ask("affinity", { ...draft(state.operations, state.undone), condition: id }));

// Returns the description of the undone edit, or null if there is none.
export const undo = () =>
  inTurn(async () => {
    if (!state.operations.length) return null;
    const told = state.shown.told.at(-1);
    await preview(state.operations.slice(0, -1), [state.operations.at(-1), ...state.undone]);
    return told;
  });

export const redo = () =>
  inTurn(async () => {
    if (!state.undone.length) return null;
    await preview([...state.operations, state.undone[0]], state.undone.slice(1));
    return state.shown.told.at(-1);
  });

function take(opened, operations = []) {
  const { conditions, dependencies, attributes, changes, told, summary, base, ...bank } = opened;
  Object.assign(state, { bank, base, operations, undone: [], shown: { conditions, dependencies, attributes, changes, told, summary } });
  changed();
}

// Returns {conflict} if the file has another content, otherwise {saved}.
export const save = (did, over = null) =>
  inTurn(async () => {
    const answer = await ask("save", { ...draft(state.operations, state.undone), did, over });
    if (answer.saved) {
      take(answer.saved);
      await newDraft();
    }
    return answer;
  });

// Rebase the edits onto the file's content. Returns those that are invalid there.
export const rebase = () => inTurn(() => putOnTop(draft(state.operations, state.undone)));

async function putOnTop(edits) {
  const { operations, left_out: leftOut, ...opened } = await ask("rebase", edits);
  take(opened, operations);
  return leftOut;
}

// Reload the file's content and discard the edits.
export const reopen = () =>
  inTurn(async () => {
    await ask("discard", { id: state.id });
    take(await ask("bank"));
  });

export const discard = (id) => ask("discard", { id });

// Resume a draft. Returns the edits that are no longer valid, as the file has changed.
export const adopt = (id) =>
  inTurn(async () => {
    const kept = (await ask("draft", { id })).draft;
    if (!kept) return [];
    let leftOut = [];
    try {
      await preview(kept.operations, kept.undone, kept.base);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 410) throw error;
      leftOut = await putOnTop(draft(kept.operations, [], kept.base));
    }
    if (id !== state.id) await discard(id);
    return leftOut;
  });

// Open the file. Returns the drafts of closed pages, which are offered to the user.
export async function open() {
  const before = sessionStorage.getItem("fedmpt-draft");
  if (!before || !(await held(before, PATIENCE))) await newDraft();
  const opened = await ask("bank");
  take(opened);
  if (opened.drafts.some((kept) => kept.id === state.id)) await adopt(state.id);
  const open = new Set((await navigator.locks.query()).held.map((lock) => lock.name));
  return opened.drafts.filter((kept) => kept.id !== state.id && !open.has(kept.id));
}

async function newDraft() {
  const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  await held(id, PATIENCE);
  sessionStorage.setItem("fedmpt-draft", id);
}

// Lock a draft's id while this page is open. Returns false if another page holds it: this tab is a duplicate.
// A reloaded page may have to wait until the browser has closed the previous one.
function held(id, patience) {
  return new Promise((resolve) => {
    navigator.locks
      .request(id, { signal: AbortSignal.timeout(patience) }, () => {
        state.id = id;
        resolve(true);
        return new Promise(() => {});
      })
      .catch(() => resolve(false));
  });
}
