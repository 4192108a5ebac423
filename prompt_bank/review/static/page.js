// The review page: opens the bank, redraws it after each edit, and connects buttons and keys.

import { ask } from "./api.js";
import { refreshAffinity, setUpAffinity } from "./affinity.js";
import { drawAttributes, hasAttributes } from "./attributes.js";
import { drawCards, onCurrent } from "./cards.js";
import { anyTouched, openDialog, setUpDialogs } from "./dialogs.js";
import { byId, dressButtons, h, plural, when } from "./dom.js";
import { addCondition } from "./forms.js";
import { setUpKeys } from "./keys.js";
import { drawMatrix, setUpMatrix } from "./matrix.js";
import { attempt, dismiss, notice, toast } from "./notices.js";
import { openSave, tellRebased } from "./saving.js";
import { adopt, discard, onChange, open, rebase, redo, reopen, state, undo, unsaved } from "./state.js";
import { switchTheme } from "./theming.js";

function draw() {
  const { bank, shown } = state;
  const mined = bank.model ? `mined with ${bank.model}, ${when(bank.created)}` : "";
  byId("bank-name").textContent = bank.name;
  byId("bank-origin").textContent = [bank.last ? `revision ${bank.last.revision}` : "not recorded yet", mined].filter(Boolean).join(" · ");
  document.title = `${unsaved() ? "• " : ""}${bank.name} – review`;
  drawLead();
  byId("count-conditions").textContent = shown.conditions.length;
  byId("count-dependencies").textContent = shown.dependencies.length;
  const decided = shown.conditions.filter(({ status }) => status !== "proposed").length;
  byId("progress").textContent = `${decided} of ${shown.conditions.length} decided`;
  byId("save").replaceChildren("Save ", unsaved() ? h("span", { class: "count" }, unsaved()) : "");
  name(byId("save"), unsaved() ? `Save ${plural(unsaved(), "edit")}` : "Nothing to save", !unsaved());
  name(byId("undo"), unsaved() ? `Undo: ${shown.told.at(-1)}` : "Undo", !unsaved());
  name(byId("redo"), "Redo", !state.undone.length);
  drawCards();
  if (!byId("dependencies").hidden) drawMatrix();
  drawAttributes();
  if (!byId("labels").hidden && !hasAttributes()) showTab("conditions");
  attempt(refreshAffinity);
  if (shown.outdated) offerRebase();
}

function drawLead() {
  const { labels, captions, model, about } = state.bank;
  const count = Object.keys(captions).length;
  const source = model ? `A language model described ${plural(count, "scene")} with your ${plural(labels.length, "label")} and proposed these conditions` : "These are the bank's conditions";
  const images = about ? ` The images: ${about}.` : "";
  byId("lead").textContent = `${source}: circumstances that decide which labels occur together. Accept what is real and distinct, correct the words, reject the rest. Training uses what you accept.${images}`;
}

function name(button, text, off) {
  button.setAttribute("aria-label", text);
  button.title = text;
  button.disabled = off;
}

function offerRebase() {
  notice("outdated", "The file has changed since you opened it. Saving will show you both versions; or put your edits on top of it now.", [
    ["Put my edits on top", async () => tellRebased(await rebase())],
  ]);
}

function offerDrafts(drafts) {
  for (const { id, by, at, edits } of drafts) {
    notice(id, `${plural(edits, "unsaved edit")} by ${by}, ${when(at)}, ${edits === 1 ? "is" : "are"} kept.`, [
      ["Go on with them", async () => tellAdopted(await adopt(id))],
      ["Discard", () => discard(id)],
    ]);
  }
}

function tellAdopted(leftOut) {
  toast(`${plural(unsaved(), "edit")} taken up again.`);
  if (leftOut.length) tellRebased(leftOut);
}

// Check whether the file has changed when the user returns to the page.
async function lookAgain() {
  if (document.hidden || !state.bank) return;
  const { hash } = await ask("now");
  if (hash === state.base) dismiss("outdated");
  else if (unsaved()) offerRebase();
  else await reopen();
}

const TABS = ["conditions", "dependencies", "labels"];

function showTab(shown) {
  for (const tab of TABS) {
    byId(tab).hidden = tab !== shown;
    if (tab === shown) byId(`tab-${tab}`).setAttribute("aria-current", "page");
    else byId(`tab-${tab}`).removeAttribute("aria-current");
  }
  if (shown === "dependencies") drawMatrix();
}

async function takeBack(work, word) {
  const told = await attempt(work);
  if (typeof told === "string") toast(`${word}: ${told}.`);
  else if (told !== false) toast(word === "Undone" ? "There is nothing to undo." : "There is nothing to redo.");
}

function setUp() {
  dressButtons(document);
  setUpDialogs();
  setUpMatrix();
  setUpAffinity();
  const help = () => openDialog("help-dialog", {});
  const undoLast = () => takeBack(undo, "Undone");
  const redoLast = () => takeBack(redo, "Done again");
  const tabs = () => {
    const there = TABS.filter((tab) => !byId(`tab-${tab}`).hidden);
    showTab(there[(there.findIndex((tab) => !byId(tab).hidden) + 1) % there.length]);
  };
  const clicks = { undo: undoLast, redo: redoLast, theme: switchTheme, help, save: openSave, add: addCondition };
  for (const [id, work] of Object.entries(clicks)) byId(id).addEventListener("click", work);
  for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => showTab(tab));
  const onCards = (work) => () => byId("conditions").hidden || work();
  setUpKeys({
    j: onCards(() => onCurrent.step(1)),
    k: onCards(() => onCurrent.step(-1)),
    a: onCards(() => onCurrent.decide("accept")),
    r: onCards(() => onCurrent.decide("reject")),
    e: onCards(onCurrent.edit),
    m: onCards(onCurrent.merge),
    p: onCards(onCurrent.split),
    "[": onCards(() => onCurrent.move(-1)),
    "]": onCards(() => onCurrent.move(1)),
    n: onCards(addCondition),
    u: undoLast,
    U: redoLast,
    d: tabs,
    s: openSave,
    "?": help,
  });
  addEventListener("beforeunload", (event) => (unsaved() || anyTouched()) && event.preventDefault());
  document.addEventListener("visibilitychange", () => attempt(lookAgain));
  addEventListener("focus", () => attempt(lookAgain));
  document.addEventListener("click", closeMenus);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(event));
}

function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.type === "keydown" && menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    if (event.type === "keydown" || !menu.contains(event.target)) menu.open = false;
  }
}

onChange(draw);
setUp();
try {
  offerDrafts(await open());
  for (const { message } of state.bank.warnings) notice(`warning ${message}`, message);
  if (state.bank.hand_edited && state.bank.last) notice("by-hand", `The file was edited by hand since revision ${state.bank.last.revision}; you see it as it is now.`);
  document.body.classList.add("ready");
} catch (error) {
  console.error(error);
  byId("lead").replaceChildren();
  byId("conditions-heading").textContent = error.status === 403 ? "Open the address that the terminal shows" : "The bank cannot be shown";
  byId("cards").replaceChildren(h("div", { class: "notice failed", role: "alert" }, error.message.split("\n").map((line) => h("p", {}, line))));
}
