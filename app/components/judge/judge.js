// Judging: the state, what is on the screen, and what comes next. Modes: judging (a reading), waiting (for its
// sources, shortly), asking (why a prediction is wrong), done.

const AHEAD = 10;
const FEW = 10;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const place = [data.session.workspace, data.postUrl, data.person].join("|");
  const before = mounted.get(parentElement);
  if (before && before.place !== place) {
    before.close();
    mounted.delete(parentElement);
  }
  const state = stateOf(parentElement, () => makeState(root, data, place));
  state.data = data;
  state.send = setTriggerValue;
  state.queue.useToken(data.session.token);
  if (state.deck.take(data.readings, state.view?.record.reading.id)) state.asked = false;
  if (!state.mode) start(state);
  else if (state.mode === "done") showNext(state);
  else {
    prepareAhead(state);
    askForMore(state);
    state.changed();
  }
  return () => {
    state.close();
    mounted.delete(parentElement);
  };
}

function makeState(root, data, place) {
  const state = {
    root, data, place, deck: makeDeck(), queue: queueOf(data.session, data.postUrl, data.person), views: new Map(),
    mode: "", view: null, current: null, question: null, answer: {}, explained: new Set(), revealed: new Map(), lateAsked: false, asked: false,
    turn: 0, since: null, waiting: null, watch: stopwatch(),
  };
  state.choose = (current) => {
    if (state.current === current || state.mode !== "judging") return;
    state.current = current;
    state.changed();
  };
  state.decide = (verdict, index, since) => decide(state, verdict, index, since);
  state.nothingFurther = (since) => nothingFurther(state, since);
  state.addClass = () => addClass(state);
  state.explain = (kind, value, since) => explain(state, kind, value, since);
  state.commands = commandsOf(state);
  state.frame = makeFrame(state, state.commands.filter((command) => command.words));
  state.changed = () => refresh(state);
  root.replaceChildren(state.frame.element);

  const listeners = [
    [document, "keydown", (event) => onKey(state, event), true],
    [document, "visibilitychange", () => {
      state.watch.visible(!document.hidden);
      if (!document.hidden && state.queue.trouble) state.queue.hurry(); // a laptop wakes up
    }],
    [window, "online", () => state.queue.hurry()],
    [window, "pagehide", () => state.queue.leave()],
    [window, "beforeunload", (event) => state.queue.pending().length && !state.queue.stored && event.preventDefault()],
    [window, "resize", () => fitHeight(state)],
  ];
  for (const [target, type, listener, capture] of listeners) target.addEventListener(type, listener, capture);
  Object.assign(state.queue, {
    onChange: () => {
      markCounts(state);
      if (state.mode === "done") state.frame.right.replaceChildren(makeEnd(state));
      stopWaiting(state);
    },
    onRevealed: (revealed) => onRevealed(state, revealed),
    onRenew: () => state.send("renew", Date.now()),
  });
  state.close = () => {
    for (const [target, type, listener, capture] of listeners) target.removeEventListener(type, listener, capture);
    // What is still to be saved goes on being posted without the page.
    Object.assign(state.queue, { onChange() {}, onRevealed() {}, onRenew() {} });
    clearTimeout(state.waiting);
    for (const view of state.views.values()) view.alive = false;
    state.turn += 1;
  };
  return state;
}

/** Seconds since something was shown, without those in which the tab was hidden. */
function stopwatch() {
  let gathered = 0, since = performance.now();
  return {
    restart() {
      gathered = 0;
      since = document.hidden ? null : performance.now();
    },
    visible(yes) {
      if (!yes && since !== null) gathered += performance.now() - since;
      since = yes ? (since ?? performance.now()) : null;
    },
    seconds: () => Math.round(gathered + (since === null ? 0 : performance.now() - since)) / 1000,
  };
}

/** What an earlier visit decided and could not save is decided: it is not asked again. */
function start(state) {
  state.queue.adopt();
  for (const { judgement, name, reason } of state.queue.entries.values()) if (reason === undefined) state.deck.apply(judgement, name);
  fitHeight(state);
  if (state.data.readings.some((reading) => reading.exhaustive)) classesAt(state.data.session, state.data.classesUrl).catch(() => {});
  showNext(state);
}

function fitHeight(state) {
  const top = state.root.getBoundingClientRect().top + window.scrollY;
  state.root.style.setProperty("--height", `${Math.max(480, window.innerHeight - Math.min(top, 240) - 24)}px`);
}

// ---- what is shown

function viewOf(state, record) {
  const { id } = record.reading;
  if (!state.views.has(id)) state.views.set(id, makeView(state, record));
  return state.views.get(id);
}

/** The next ten are made, fetched and decoded; those long past are let go. */
function prepareAhead(state) {
  const wanted = [state.view?.record, ...state.deck.upcoming().slice(0, AHEAD + 1)].filter(Boolean);
  const kept = new Set(wanted.map((record) => record.reading.id));
  for (const [id, view] of state.views) {
    if (kept.has(id)) continue;
    view.alive = false;
    state.views.delete(id);
  }
  for (const record of wanted) viewOf(state, record);
}

/** Put a view on the screen; it counts as shown once it is decoded and painted. `since` is the key that led here. */
function show(state, mode, view, right, since = null) {
  Object.assign(state, { mode, view, waiting: null });
  const turn = ++state.turn;
  view.painted = false;
  const { left } = state.frame;
  if (left.firstChild !== view.stage) left.replaceChildren(view.stage);
  state.frame.right.replaceChildren(right);
  state.frame.right.scrollTop = 0;
  view.zoom?.fit();
  state.changed();
  holdFocus(state);
  view.ready.then(() => view.image?.decode()).catch(() => {}).then(nextFrame).then(nextFrame).then(() => {
    if (turn !== state.turn) return;
    view.painted = true;
    state.watch.restart();
    if (since !== null) performance.measure("errata:next-image", { start: since, end: performance.now() });
    state.frame.element.dataset.shown = view.record.reading.id;
    state.changed();
    setTimeout(() => turn === state.turn && prepareAhead(state));
  });
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

/** Keep the focus with the panel in hand, unless it is elsewhere on the page or in a dialog. */
function holdFocus(state) {
  if (state.root.querySelector("dialog[open]")) return;
  const shadow = state.root.getRootNode();
  if (document.activeElement !== document.body && document.activeElement !== shadow.host) return;
  if (shadow.activeElement?.closest(".legend, .head")) return; // somebody works with the buttons
  state.frame.right.querySelector(".candidate.current, .question")?.focus({ preventScroll: true });
}

function showReading(state, record, since) {
  const view = viewOf(state, record);
  state.lateAsked = false;
  state.current = state.deck.undecided(record)[0]?.index ?? "further";
  show(state, "judging", view, view.panels, since);
  askForMore(state);
}

function showQuestion(state, record, index) {
  const view = viewOf(state, record);
  state.question = index;
  state.answer = {};
  show(state, "asking", view, makeQuestion(state, record, index));
}

/** The next image, or the end; between two images at most one late question, at the end all of them. */
function showNext(state, since = null) {
  const finished = state.mode === "waiting" || state.mode === "asking" ? state.view.record : null;
  const next = state.deck.upcoming()[0];
  const own = finished && questionsOf(state, finished)[0];
  if (own !== undefined && own !== null) return showQuestion(state, finished, own);
  const late = next && state.lateAsked ? null : [...state.deck.records.values()].find((record) => questionsOf(state, record).length);
  if (late) {
    state.lateAsked = true;
    return showQuestion(state, late, questionsOf(state, late)[0]);
  }
  if (next) return showReading(state, next, since);
  Object.assign(state, { mode: "done", view: null, waiting: null });
  state.turn += 1;
  state.frame.left.replaceChildren();
  state.frame.right.replaceChildren(makeEnd(state));
  askForMore(state);
  refresh(state);
}

function refresh(state) {
  const { frame, deck, view } = state;
  const left = deck.upcoming();
  const judged = [...deck.records.values()].filter(deck.complete).length;
  frame.element.dataset.mode = state.mode;
  frame.progress.textContent = `${judged} judged · ${left.length} to go`;
  frame.note.textContent = view?.record.reading.note ?? "";
  const now = [state.mode === "asking" || state.mode === "done" ? "" : "judging", view?.record.reading.exhaustive ? "exhaustive" : ""];
  for (const button of frame.legend.children) button.hidden = !button.dataset.only.split(" ").every((need) => !need || now.includes(need));
  markCounts(state);
  if (!view) {
    frame.live.textContent = "All done";
    return;
  }
  frame.element.classList.toggle("unpainted", !view.painted);
  if (state.mode === "asking") {
    for (const button of frame.right.querySelectorAll(".choice")) button.setAttribute("aria-pressed", String(state.answer[button.dataset.kind] === button.dataset.value));
    frame.live.textContent = "Why is it wrong?";
    return;
  }
  markView(state, view);
  const place = view.record.candidates.findIndex((one) => one.index === state.current);
  const words = place < 0 ? "Is there another class of the list in it?" : `Candidate ${place + 1} of ${view.record.candidates.length}: ${view.record.candidates[place].name}`;
  frame.live.textContent = view.broken || (view.painted ? words : "The image is being fetched");
}

function flash(state, words) {
  const { flash: box } = state.frame;
  box.textContent = words;
  box.classList.add("on");
  clearTimeout(box.errataTimer);
  box.errataTimer = setTimeout(() => box.classList.remove("on"), 900);
}

function askForMore(state) {
  const left = state.deck.unseen();
  if (left >= FEW || state.asked) return;
  state.asked = true;
  setTimeout(() => state.send("more", left));
}
