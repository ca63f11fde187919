// The small dialogs of judging. While one is open the keys are its own, and Escape closes it.

/** A modal dialog with a heading; it removes itself when closed. */
function openDialog(root, heading, ...content) {
  const dialog = el("dialog", { "aria-label": heading },
    el("header", {}, el("h2", { text: heading }), el("button", { type: "button", class: "button", text: "Close", title: "Close (Escape)", on: { click: () => dialog.close() } })),
    ...content,
  );
  // What is typed here is neither a judging key nor one of Streamlit's.
  for (const type of ["keydown", "keyup", "keypress"]) dialog.addEventListener(type, (event) => event.stopPropagation());
  dialog.addEventListener("close", () => {
    dialog.remove();
    root.querySelector(".candidate.current, .question")?.focus({ preventScroll: true });
  });
  root.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Numbered choices: a digit, or a click, chooses one. `chosen` are the values that hold already. */
function chooseOne(root, heading, choices, chosen, choose) {
  const pick = (value) => {
    dialog.close();
    choose(value);
  };
  const rows = choices.map(([value, words], place) => el("button", { type: "button", class: "choice", "aria-pressed": String(chosen.has(value)), on: { click: () => pick(value) } },
    el("kbd", { text: String(place + 1) }), el("span", { text: words }), chosen.has(value) ? el("span", { class: "quiet", text: "said" }) : null));
  const dialog = openDialog(root, heading, el("div", { class: "choices" }, ...rows));
  dialog.addEventListener("keydown", (event) => {
    const choice = choices[Number(event.key) - 1];
    if (choice && !event.ctrlKey && !event.metaKey && !event.altKey) pick(choice[0]);
  });
  rows[0].focus();
}

/** One line of text; Enter gives it to `take`. */
function askText(root, heading, label, take) {
  const input = el("input", { type: "text", "aria-label": label, placeholder: label, maxlength: 1000, autocomplete: "off" });
  const done = () => {
    const text = input.value.trim();
    dialog.close();
    if (text) take(text);
  };
  const save = el("button", { type: "button", class: "button", text: "Save (Enter)", on: { click: done } });
  const dialog = openDialog(root, heading, el("div", { class: "line" }, input, save));
  input.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && done());
  input.focus();
}

function showKeys(root, rows) {
  const table = el("dl", { class: "keys" });
  for (const [key, words] of rows) table.append(el("dt", {}, el("kbd", { text: key })), el("dd", { text: words }));
  openDialog(root, "Keys", table);
}

/** What the server refused, each with its reason, until somebody tries again or gives it up. */
function showFailed(root, queue) {
  const list = el("ul", { class: "failures" }, ...queue.failed().map(({ judgement, name, reason }) => {
    const what = [judgement.kind === "verdict" ? judgement.verdict.replace("_", " ") : judgement.kind, name, judgement.cause, judgement.problem, judgement.text].filter(Boolean).join(" · ");
    return el("li", {}, el("strong", { text: reason }), el("span", { text: what }), el("span", { class: "quiet", text: `reading ${judgement.reading}, item ${judgement.item}` }));
  }));
  const button = (text, act) => el("button", { type: "button", class: "button", text, on: { click: () => { dialog.close(); act(); } } });
  const dialog = openDialog(root, "Not accepted by the server", list, el("div", { class: "line" },
    button("Try again", queue.retry), button("Give up on these", () => queue.discard(queue.failed().map((entry) => entry.judgement.id)))));
}
