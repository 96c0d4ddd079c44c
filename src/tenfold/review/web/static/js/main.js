// Opens the session, joins the parts, and leads keys and addresses to the view in front.

import { ApiError, LinkLost, get, getPatiently, post } from "./api.js";
import { Stint } from "./clock.js";
import { CompareView } from "./compare.js";
import { DashboardView } from "./dashboard.js";
import { helpDialog, pauseDialog } from "./dialogs.js";
import { el, icon, isTyping } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Frame } from "./frame.js";
import { ItemsView } from "./items.js";
import { JudgeView } from "./judge.js";
import { Outbox } from "./outbox.js";
import { becomePerson, person } from "./person.js";
import { Pictures } from "./pictures.js";
import { Queue } from "./queue.js";
import { Sender } from "./sender.js";
import { loadTexts, t } from "./text.js";
import { applyTheme } from "./theme.js";
import { TriageView } from "./triage.js";

const page = document.getElementById("page");
const AGAIN_MS = 3000;

applyTheme();
addEventListener("hashchange", () => linkToken() && location.reload()); // a link that was pasted into an open page
start();

async function start() {
  try {
    await loadTexts();
  } catch {
    setTimeout(start, AGAIN_MS); // not even the texts come: nothing can be said in any language
    return;
  }
  try {
    const me = await signIn();
    const rubric = await getPatiently("/api/rubric");
    await open(me, rubric);
  } catch (error) {
    if (error instanceof LinkLost || (error instanceof ApiError && error.status >= 500)) {
      tellOnly("start.no_link", "start.no_link_detail");
      setTimeout(start, AGAIN_MS);
    } else {
      const isElsewhere = error.body?.error === "AnotherReview";
      tellOnly(isElsewhere ? "start.elsewhere" : "start.sign_in", isElsewhere ? "start.elsewhere_detail" : "start.sign_in_detail",
        error.body?.what);
    }
  }
}

/** Trades the token of the link for a session; without a token the one of before goes on. */
async function signIn() {
  const token = linkToken();
  if (token) becomePerson("");
  else if (!person()) becomePerson(await choosePerson());
  const me = token ? await post("/api/session", { token }) : await get("/api/me");
  becomePerson(me.person);
  if (token) history.replaceState(null, "", "/");
  return me;
}

function linkToken() {
  return new URLSearchParams(location.hash.slice(1)).get("token");
}

/** Who of those signed in in this browser is at this tab: asked only when there are several. */
async function choosePerson() {
  const { people } = await get("/api/people");
  if (people.length < 2) return people[0]?.person ?? "";
  return new Promise((resolve) => {
    tellOnly("start.several", "start.several_detail", el("div", { class: "buttons" }, people.map((one) => el("button", {
      type: "button", on: { click: () => resolve(one.person) },
    }, `${one.name} · ${t(`role.${one.role}`)}`))));
  });
}

async function open(me, rubric) {
  const app = { me, rubric, progress: me.progress, pictures: new Pictures("full", 40), thumbs: new Pictures("thumb", 900) };
  app.stint = new Stint(me.rest_after_minutes);
  app.sender = new Sender(await Outbox.open(), me.person);
  const drawer = new Drawer(app);
  const actions = {
    help: () => helpDialog(rubric).showModal(),
    guide: () => drawer.toggle(),
    pause: () => pause(app),
    signOut: () => signOut(app),
  };
  app.frame = new Frame(app, viewsOf(me), actions);
  const queues = [new Queue("queue"), new Queue("adjudication")];
  const judge = new JudgeView(app, "judge", queues[0]);
  const adjudicate = new JudgeView(app, "adjudicate", queues[1]);
  const triaged = isReviewer(me) ? judge : adjudicate;
  app.views = {
    judge, adjudicate, grid: new TriageView(app, "grid", triaged.queue, triaged), items: new ItemsView(app),
    compare: new CompareView(app), dashboard: new DashboardView(app),
  };
  app.frame.root.append(drawer.root);
  const takeProgress = (progress) => {
    app.progress = progress;
    showProgress(app);
    queues[0].replan(progress.plan_version);
  };
  app.sender.addEventListener("acknowledged", ({ detail }) => takeProgress(detail.progress));
  app.readProgress = () => get("/api/progress").then(takeProgress, () => undefined);
  const waiting = await app.sender.start();
  for (const queue of queues) queue.restore(waiting);
  page.replaceChildren(app.frame.root);
  document.addEventListener("keydown", (event) => onKey(event, app, actions, drawer));
  document.addEventListener("click", freeKeys);
  addEventListener("hashchange", () => route(app));
  route(app);
}

function viewsOf(me) {
  const names = [
    isReviewer(me) ? "judge" : null, isAdjudicator(me) ? "adjudicate" : null, isReviewer(me) || isAdjudicator(me) ? "grid" : null,
    me.may.grid_all ? "items" : null, me.may.dashboard ? "dashboard" : null,
  ];
  return names.filter(Boolean).map((name) => ({ name, address: `#/${name}` }));
}

function isReviewer({ may, progress }) {
  return may.review || progress.total > 0;
}

function isAdjudicator({ may }) {
  return may.adjudicate;
}

function showProgress(app) {
  const queue = app.view?.queue;
  app.frame.setProgress(queue ? queue.standing(app.progress) : { total: 0, decided: 0, faulty: 0 });
}

/** Addresses: #/judge, #/judge/43 (from 1), #/adjudicate, #/grid, #/items, #/compare/ID, #/dashboard. */
function route(app) {
  if (linkToken()) return;
  const [, name, detail] = location.hash.split("/");
  const open = viewsOf(app.me).map((one) => one.name);
  const isOpen = open.includes(name) || (name === "compare" && app.me.may.compare);
  const first = isReviewer(app.me) || !app.me.may.dashboard ? open[0] : "dashboard";
  const known = isOpen ? name : first ?? "judge";
  const view = app.views[known];
  if (app.view && app.view !== view) app.view.leave();
  app.view = view;
  app.frame.setPosition(known, null);
  showProgress(app);
  app.frame.show(view.root, known === "compare" ? "items" : known);
  const position = Number.parseInt(detail, 10);
  if (known === "judge" || known === "adjudicate") view.enter(position > 0 ? position - 1 : null);
  else view.enter(decoded(detail));
  view.root.focus({ preventScroll: true });
}

/** A part of the address, which anybody may have typed; null for none that can be read. */
function decoded(detail) {
  try {
    return detail ? decodeURIComponent(detail) : null;
  } catch {
    return null;
  }
}

function onKey(event, app, actions, drawer) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "Escape" && (app.frame.closeMenu() || drawer.isOpen)) {
    drawer.toggle(false);
    app.view.root.focus();
    return event.preventDefault();
  }
  const control = event.target.closest?.("a, button, input, summary");
  if (control && ["Enter", " "].includes(event.key)) return undefined;
  if (control instanceof HTMLInputElement && event.key.startsWith("Arrow")) return undefined;
  if (app.view.key(event)) return event.preventDefault();
  const key = event.key.toLowerCase();
  if (event.key === "?") actions.help();
  else if (key === "i") actions.guide();
  else if (key === "p") actions.pause();
  else if (key === "g") location.hash = gridAddress(app);
  else return undefined;
  return event.preventDefault();
}

/** After a click the keys are the page's again: Space or Enter must not judge the next image too. */
function freeKeys(event) {
  const button = event.target.closest?.(".verdicts button");
  if (button && event.detail > 0) button.blur();
}

function gridAddress(app) {
  const { views, view, me } = app;
  if (!isReviewer(me) && !isAdjudicator(me)) return "#/items";
  return view === views.grid ? `#/${views.grid.alone.name}` : "#/grid";
}

function pause(app) {
  app.view.pause?.(true);
  const dialog = pauseDialog(() => {
    app.stint.begin();
    app.view.pause?.(false);
  });
  dialog.showModal();
}

async function signOut(app) {
  if (app.sender.waiting.length && !confirm(t("frame.sign_out_unsent", { n: app.sender.waiting.length }))) return;
  await post("/api/session/end", {}).catch(() => undefined);
  becomePerson("");
  location.replace("/");
}

function tellOnly(title, detail, more = "") {
  document.title = t("frame.title");
  page.replaceChildren(el("main", { class: "alone" }, el("div", { class: "alone-card" },
    el("p", { class: "brand" }, el("b", {}, "Tenfold"), " ", t("frame.review")),
    el("h1", {}, icon(title === "start.no_link" ? "kept" : "guide"), t(title)), el("p", {}, t(detail)),
    typeof more === "string" ? el("p", { class: "hint" }, more) : more)));
}
