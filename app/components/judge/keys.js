// Every key, and what it does.

/** Every key, what it does and, for those that have a button, in how many words. */
function commandsOf(state) {
  const verdicts = VERDICTS.map(({ verdict, key, words }) => ({ key: key.toUpperCase(), words, only: "judging", run: (since) => decide(state, verdict, state.current, since) }));
  return [
    ...verdicts,
    { key: "N", words: "No further class", only: "judging exhaustive", run: (since) => nothingFurther(state, since) },
    { key: "A", words: "Add a class", only: "judging exhaustive", run: () => addClass(state) },
    { key: "O", words: "Outside the list", only: "judging", help: "Name an object that no class of the list names", run: () => sayText(state, "outside", "An object outside the class list", "What is it?") },
    { key: "P", words: "Problem", only: "judging", help: "Say what is the matter with the item", run: () => state.view && sayProblem(state) },
    { key: "T", words: "Note", only: "judging", help: "Write a note", run: () => sayText(state, "note", "A note on this item", "Note") },
    { key: "S", words: "Skip", help: "Skip: it comes back once at the end; a question for a cause stays open", run: (since) => state.view && skip(state, since) },
    { key: "Z", also: ["BACKSPACE"], words: "Undo", help: "Take the last decision back (also Backspace), again and again", run: () => undo(state) },
    { key: "+", also: ["="], words: "In", help: "Zoom in", run: () => state.view?.zoom?.by(1.5) },
    { key: "-", also: ["_"], words: "Out", help: "Zoom out; 0 fits the image, Shift and arrows move it", run: () => state.view?.zoom?.by(1 / 1.5) },
    { key: "0", run: () => state.view?.zoom?.fit() },
    { key: "ENTER", run: (since) => confirmPrefilled(state, since), help: "Confirm the suggested verdicts" },
    { key: "M", run: (since) => state.mode === "asking" && explain(state, "severity", "major", since) },
    { key: "I", run: (since) => state.mode === "asking" && explain(state, "severity", "minor", since) },
    { key: "W", run: () => state.view && search(state) },
    { key: "ARROWDOWN", run: () => step(state, 1) },
    { key: "ARROWUP", run: () => step(state, -1) },
    { key: "?", words: "Keys", help: "Show these keys", run: () => showKeys(state.root, helpRows(state)) },
  ];
}

function helpRows(state) {
  const named = state.commands.filter((one) => one.words || one.help).map((one) => [one.key === "ENTER" ? "Enter" : one.key, one.help ?? one.words]);
  const web = state.data.searchUrl ? [["W", "Search the web for the candidate's name (no image is sent)"]] : [];
  return [...named, ...web, ["1–9", "Choose a candidate; a cause when one is asked for"], ["↑ ↓ Tab", "Go from candidate to candidate"], ["M I", "Major, minor: how bad a wrong prediction is"]];
}

function search(state) {
  const one = state.view.record.candidates.find((candidate) => candidate.index === state.current);
  if (one && state.data.searchUrl) window.open(state.data.searchUrl + encodeURIComponent(one.name), "_blank", "noopener,noreferrer");
}

function onKey(state, event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing || state.root.querySelector("dialog[open]")) return;
  const target = event.composedPath()[0];
  if (target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=combobox], [role=dialog], [role=application]")) return;
  if (event.key === "Enter" && target.closest?.("button, a, summary")) return;
  const pan = event.shiftKey && { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const run = pan ? () => state.view?.zoom?.move(...pan) : actionOf(state, event);
  if (!run) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  // A key held down would judge images that nobody has looked at.
  if (event.repeat && !pan && !/^(Arrow|[+=_-])/.test(event.key)) return;
  run(event.timeStamp);
}

function actionOf(state, event) {
  const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
  if (digit && state.mode === "asking") return (since) => state.data.causes[digit - 1] && explain(state, "cause", state.data.causes[digit - 1][0], since);
  if (digit) {
    return () => {
      const one = state.mode === "judging" && state.view.record.candidates[digit - 1];
      if (one) state.choose(one.index);
      holdFocus(state);
    };
  }
  // On a keyboard of another script the key's place counts.
  const key = (/^Key[A-Z]$/.test(event.code) && !/^[a-z]$/i.test(event.key) ? event.code.slice(3) : event.key).toUpperCase();
  return state.commands.find((one) => one.key === key || one.also?.includes(key))?.run;
}
