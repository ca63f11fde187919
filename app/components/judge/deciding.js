// What is decided, and what follows from it: the next candidate, the next image, a question, a step back.

const SOURCES_MS = 300;

/** No judgement may fall on an image that was not on the screen. */
function mayJudge(state, mode = "judging") {
  if (state.mode === mode && state.view.painted) return true;
  if (state.mode === "done") return false;
  if (state.mode === "asking") flash(state, "Choose why it is wrong, or skip (S)");
  else flash(state, state.view.broken ? "This image cannot be shown, so it cannot be judged: P says why, S skips it" : "Not yet shown");
  return false;
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is for https only
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  return [...bytes].map((byte, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + byte.toString(16).padStart(2, "0")).join("");
}

function judgementOn(state, record, fields) {
  const { reading } = record;
  const seen = state.view?.record === record && state.view.painted;
  return {
    id: newId(), reading: reading.id, item: reading.tile.item, ...fields, seconds: state.watch.seconds(),
    shown: { candidates: reading.candidates.map((one) => one.index), image: seen ? (reading.tile.hash ?? null) : null }, guideline: state.data.guideline,
  };
}

function say(state, fields, name) {
  const judgement = judgementOn(state, state.view.record, fields);
  state.deck.apply(judgement, name);
  state.queue.add(judgement, name);
}

function decide(state, verdict, index, since) {
  if (!mayJudge(state)) return;
  const { record } = state.view;
  const one = record.candidates.find((candidate) => candidate.index === index);
  if (!one) return flash(state, "Every candidate is judged: N for no further class, A to add one");
  if (record.verdicts.get(index)?.verdict !== verdict) say(state, { kind: "verdict", class: index, verdict }, one.name);
  goOn(state, since, index);
}

/** To the next candidate without a verdict; after the last, to the next image. */
function goOn(state, since, after) {
  const { record } = state.view;
  if (state.deck.complete(record)) return finish(state, since);
  const open = state.deck.undecided(record);
  const place = record.candidates.findIndex((one) => one.index === after);
  state.current = (open.find((one) => record.candidates.indexOf(one) > place) ?? open[0])?.index ?? "further";
  state.changed();
  holdFocus(state);
}

/** A reading is judged. Where something in it is wrong, its sources are awaited, but not for long. */
function finish(state, since) {
  const { record } = state.view;
  state.queue.soon(0);
  state.mode = "waiting";
  const asks = state.deck.wrongClasses(record).length && !state.revealed.has(record.reading.id);
  if (!asks || state.queue.trouble || navigator.onLine === false) return showNext(state, since);
  state.since = since;
  state.changed();
  state.waiting = setTimeout(() => showNext(state, since), SOURCES_MS);
}

function onRevealed(state, revealed) {
  for (const [id, list] of Object.entries(revealed)) {
    state.revealed.set(id, list);
    const record = state.deck.records.get(id);
    if (!record) continue;
    const words = record.reading.candidates.map((one, place) => [place + 1, sourceWords(list.find((said) => said.class === one.index)?.sources ?? [])]);
    state.frame.revealed.textContent = `Before: ${words.filter(([, said]) => said).map(([place, said]) => `candidate ${place} was ${said}`).join(" · ")}`;
  }
}

/** The answer on the reading in hand is there, with or without its sources. */
function stopWaiting(state) {
  if (state.mode !== "waiting" || state.waiting === null) return;
  const { id } = state.view.record.reading;
  if (state.queue.pending().some(({ judgement }) => judgement.reading === id)) return;
  clearTimeout(state.waiting);
  showNext(state, state.since);
}

/** Classes judged wrong that a run predicted and whose cause has not been asked: only these have a cause. */
function questionsOf(state, record) {
  const list = state.deck.complete(record) ? (state.revealed.get(record.reading.id) ?? []) : [];
  const wrong = new Set(state.deck.wrongClasses(record));
  const predicted = list.filter(({ sources }) => sources.some((source) => source !== "label" && source !== "decoy"));
  return predicted.map((one) => one.class).filter((index) => wrong.has(index) && !state.explained.has(`${record.reading.id} ${index}`));
}

function explain(state, kind, value, since) {
  if (!mayJudge(state, "asking")) return;
  state.answer[kind] = value;
  state.changed();
  if (!state.answer.cause || !state.answer.severity) return;
  const name = state.view.record.candidates.find((one) => one.index === state.question).name;
  say(state, { kind: "cause", class: state.question, ...state.answer }, name);
  leaveQuestion(state, since);
}

function leaveQuestion(state, since) {
  state.explained.add(`${state.view.record.reading.id} ${state.question}`);
  showNext(state, since);
}

function confirmPrefilled(state, since) {
  if (!mayJudge(state)) return;
  const { record } = state.view;
  const filled = state.deck.undecided(record).filter((one) => one.prefilled);
  for (const one of filled) say(state, { kind: "verdict", class: one.index, verdict: one.prefilled }, one.name);
  if (filled.length) goOn(state, since, filled.at(-1).index);
}

function nothingFurther(state, since) {
  if (!state.view?.record.reading.exhaustive || !mayJudge(state)) return;
  if (state.view.record.further === null) say(state, { kind: "exhaustive" }, "no further class");
  goOn(state, since, null);
}

function addClass(state) {
  if (!state.view?.record.reading.exhaustive || !mayJudge(state)) return;
  const { record } = state.view;
  pickClass(state.root, state.data.session, state.data.classesUrl, (one) => {
    const place = record.candidates.findIndex((candidate) => candidate.index === one.index);
    if (place >= 0) {
      state.choose(one.index);
      return flash(state, `It is candidate ${place + 1} already`);
    }
    say(state, { kind: "verdict", class: one.index, verdict: "valid" }, one.name);
    goOn(state, null, one.index);
  });
}

function sayProblem(state) {
  const broken = state.mode === "judging" && state.view.broken;
  if (!broken && !mayJudge(state)) return;
  const { record } = state.view;
  chooseOne(state.root, "What is the matter with this item?", state.data.problems, record.problems, (problem) => {
    if (record.problems.has(problem)) return flash(state, "That is said already");
    say(state, { kind: "problem", problem });
    // There is nothing more to decide on an image that nobody can see.
    record.closed = Boolean(broken);
    if (broken) showNext(state);
    else state.changed();
  });
}

function sayText(state, kind, heading, label) {
  if (!mayJudge(state)) return;
  askText(state.root, heading, label, (text) => {
    say(state, { kind, text });
    state.changed();
  });
}

function skip(state, since) {
  if (state.mode === "asking") return leaveQuestion(state, since);
  if (!(state.mode === "judging" && state.view.broken) && !mayJudge(state)) return;
  state.deck.skip(state.view.record);
  showNext(state, since);
}

function undo(state) {
  if (state.mode === "asking" && (state.answer.cause || state.answer.severity)) {
    state.answer = {};
    return state.changed();
  }
  const entry = state.deck.takeBack();
  if (!entry) return flash(state, "There is nothing to take back");
  clearTimeout(state.waiting);
  const record = state.deck.records.get(entry.skipped ?? entry.judgement.reading);
  if (entry.judgement) {
    const { id, kind, class: index } = entry.judgement;
    state.queue.undo(id, judgementOn(state, record, { kind: "undo", undoes: id }), entry.name);
    if (kind === "cause") {
      state.explained.delete(`${record.reading.id} ${index}`);
      return showQuestion(state, record, index);
    }
  }
  showReading(state, record);
  if (entry.judgement?.kind === "verdict" && !entry.previous && record.candidates.some((one) => one.index === entry.judgement.class)) state.choose(entry.judgement.class);
}

function step(state, by) {
  if (state.mode !== "judging") return;
  const { record } = state.view;
  const all = [...record.candidates.map((one) => one.index), ...(record.reading.exhaustive ? ["further"] : [])];
  state.choose(all[Math.max(0, Math.min(all.length - 1, all.indexOf(state.current) + by))]);
  holdFocus(state);
}
