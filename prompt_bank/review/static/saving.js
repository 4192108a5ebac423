// The save dialog with all changes, and the conflict dialog with both versions.

import { Refused } from "./api.js";
import { inDialog, openDialog } from "./dialogs.js";
import { byId, h, plural, when } from "./dom.js";
import { dismiss, notice, toast } from "./notices.js";
import { rebase, reopen, save, state, unsaved } from "./state.js";

const WORDS = { added: "Added", removed: "Removed", changed: "Changed" };

export function openSave() {
  const { changes, summary } = state.shown;
  if (!changes.length) {
    if (unsaved()) toast("Your edits cancel out: there is nothing to save.");
    return;
  }
  const byHand = state.bank.hand_edited && state.bank.last; // recorded first, as a separate revision
  const next = (state.bank.last?.revision ?? 0) + (byHand ? 2 : 1);
  byId("save-lead").textContent =
    `It becomes revision ${next}, recorded as ${state.bank.by}. Earlier revisions stay.` +
    (byHand ? " What was edited by hand in the file is recorded first, as a revision of its own." : "");
  byId("save-changes").replaceChildren(...changes.map(entry));
  byId("save-did").value = summary;
  openDialog("save-dialog", { title: `Save ${plural(changes.length, "change")}?`, submit });
}

async function submit() {
  const answer = await save(byId("save-did").value.trim());
  if (answer.conflict) {
    byId("save-dialog").close();
    openConflict(answer.conflict);
    return;
  }
  dismiss("outdated");
  toast(`Saved as revision ${state.bank.last.revision}.`);
}

// The changes by title, with the old value (struck through) beside the new one.
function entry({ title, part, change, fields }) {
  const rows = fields.map(({ field, before, after }) =>
    h("tr", {}, h("th", { scope: "row" }, field), h("td", {}, before ? h("del", {}, before) : "–"), h("td", {}, after ? h("ins", {}, after) : "–")),
  );
  const heading = h("h3", {}, title, h("span", { class: `change ${change}` }, part === "condition" ? WORDS[change] : `${WORDS[change]} ${part}`));
  return h("section", {}, heading, h("table", { class: "change-table" }, h("tbody", {}, rows)));
}

// Both versions side by side in one table.
function sideBySide(differences) {
  const head = h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "In the file"), h("th", { scope: "col" }, "Yours")));
  const bodies = differences.map(({ title, fields }) =>
    h(
      "tbody",
      {},
      h("tr", {}, h("th", { scope: "rowgroup", colspan: "3" }, title)),
      fields.map(({ field, before, after }) => h("tr", {}, h("th", { scope: "row" }, field), h("td", {}, before || "–"), h("td", {}, after || "–"))),
    ),
  );
  return h("table", { class: "change-table sides" }, head, bodies);
}

function openConflict(conflict) {
  const { last, differences, left_out: leftOut, hash, hand_edited: byHand } = conflict;
  const theirs = byHand ? "It was edited by hand." : `Revision ${last.revision} was recorded by ${last.by}, ${when(last.at)}: “${last.did}”.`;
  byId("conflict-lead").textContent = `${theirs} You made ${plural(unsaved(), "edit")} to the content before. Nothing was written. Below is where the two differ.`;
  byId("conflict-differences").replaceChildren(differences.length ? sideBySide(differences) : h("p", {}, "They do not differ."));
  byId("conflict-left-out").replaceChildren(...(leftOut.length ? [h("p", {}, `${plural(leftOut.length, "edit does", "edits do")} not fit on top of theirs:`), misfits(leftOut)] : []));
  const choose = (work) => async () => {
    if (await inDialog("conflict-dialog", work)) byId("conflict-dialog").close();
  };
  byId("conflict-rebase").onclick = choose(async () => tellRebased(await rebase()));
  byId("conflict-theirs").onclick = choose(async () => {
    await reopen();
    dismiss("outdated");
    toast("This is the file's content; your edits were dropped.");
  });
  byId("conflict-over").onclick = choose(async () => {
    const answer = await save(state.shown.summary, hash);
    if (answer.conflict) throw new Refused(0, [{ message: "The file has changed again. Close this and save once more." }]);
    dismiss("outdated");
    toast(`Saved as revision ${state.bank.last.revision}.`);
  });
  openDialog("conflict-dialog", {});
}

// Report the result of a rebase.
export function tellRebased(leftOut) {
  dismiss("outdated");
  toast("Your edits are on top of the file's content now. Look at them, then save.");
  if (leftOut.length) notice("left-out", `Left out, as they do not fit any more: ${leftOut.map(({ told, message }) => `${told} (${message})`).join("; ")}.`);
}

const misfits = (leftOut) => h("ul", {}, leftOut.map(({ told, message }) => h("li", {}, told, h("span", { class: "soft" }, ` – ${message}`))));
