// What judging looks like: a reading's image and panels, the question for a cause, the frame around them, the end.

const VERDICTS = [
  { verdict: "valid", key: "v", words: "Valid", outcome: "right" },
  { verdict: "wrong", key: "x", words: "Wrong", outcome: "wrong" },
  { verdict: "unsure", key: "u", words: "Unsure", outcome: "unclear" },
  { verdict: "needs_expert", key: "e", words: "Needs expert", outcome: "unjudged" },
];
const SEVERITY_KEYS = { major: "M", minor: "I" };

/**
 * A reading's stage and panels, made ahead of being shown. `ready` resolves once its image is decoded; `painted`
 * is set once it stands on the screen, and only then may it be judged; `broken` is why it cannot be shown.
 */
function makeView(state, record) {
  const view = { record, painted: false, broken: "", alive: true, zoom: null, image: null, panels: el("div", { class: "panels" }) };
  const { tile, size } = record.reading;
  const box = el("span", { class: "picture" });
  const zoomed = el("span", { class: "zoomed quiet" });
  view.stage = el("div", { class: "stage" }, box, zoomed);
  if (tile.problem) {
    view.broken = tile.problem;
    withReason(box, tile, tile.problem);
    view.ready = new Promise(() => {});
  } else if (!tile.hash) {
    box.classList.add("pixelless");
    box.append(el("span", { class: "quiet", text: "No image; its key is:" }), el("span", { class: "name", text: tile.key }));
    view.ready = Promise.resolve();
  } else {
    view.image = el("img", { alt: "The image to judge", draggable: "false", decoding: "sync" });
    view.zoom = zoomable(box, view.image, { size, sharp: imageUrl(state.data.session, tile, "full"), onZoom: (words) => (zoomed.textContent = view.zoom?.near() ? words : "") });
    view.ready = loadImage(state, view, box);
  }
  fillPanels(state, view);
  return view;
}

/** Until it is there or nobody wants it any more: the network may be away for a while. */
async function loadImage(state, view, box) {
  const { tile } = view.record.reading;
  box.classList.add("loading");
  for (let wait = 500; ; wait = Math.min(8000, wait * 2)) {
    const { session } = state.data;
    const url = imageUrl(session, tile, 640);
    try {
      await openSession(session);
      view.image.src = url;
      await view.image.decode();
      break;
    } catch {
      // An image does not tell why: ask again for the reason.
      const reason = await get(session, url).then(() => "", (error) => (error instanceof TypeError ? "The server cannot be reached; trying again." : error.message));
      view.broken = reason || "The image could not be shown; trying again.";
      box.classList.remove("loading");
      withReason(box, tile, view.broken);
      state.changed();
      await new Promise((resolve) => setTimeout(resolve, reason ? wait : 0.2 * wait));
      if (!view.alive) return new Promise(() => {});
      view.image.removeAttribute("src");
    }
  }
  view.broken = "";
  box.classList.remove("loading", "broken");
  box.replaceChildren(view.image);
  state.changed();
}

/** The candidates as equal panels, in the order given; made anew when one is added or taken back. */
function fillPanels(state, view) {
  const { record } = view;
  view.filled = record.candidates.length;
  view.panels.replaceChildren(...record.candidates.map((one, place) => candidatePanel(state, one, place)), ...(record.reading.exhaustive ? [furtherPanel(state)] : []), el("p", { class: "remarks quiet" }));
}

function candidatePanel(state, one, place) {
  const { session, searchUrl } = state.data;
  const buttons = VERDICTS.map(({ verdict, key, words, outcome }) => el("button", {
    type: "button", class: `verdict ${outcome}`, tabindex: "-1", "aria-pressed": "false", title: `${words} (${key.toUpperCase()})`, dataset: { verdict }, on: { click: (event) => state.decide(verdict, one.index, event.timeStamp) },
  }, el("span", { class: "sign", text: SIGNS[outcome], "aria-hidden": "true" }), el("span", { text: words })));
  const exemplars = one.exemplars.map((tile) => picture(session, tile, 96 * Math.min(2, devicePixelRatio || 1), { lazy: false, alt: "" }));
  const heading = one.added ? "Added" : `Candidate ${place + 1}`;
  const said = VERDICTS.find(({ verdict }) => verdict === one.prefilled)?.words.toLowerCase();
  return el("section", { class: "candidate", role: "group", tabindex: "0", "aria-label": `${heading}: ${one.name}`, dataset: { class: one.index }, on: { focusin: () => state.choose(one.index), pointerdown: () => state.choose(one.index), keydown: alongButtons } },
    el("div", { class: "title" }, el("kbd", { text: String(place + 1) }), el("span", { class: "quiet", text: heading }), el("h3", { text: one.name, title: one.name }), el("code", { text: one.id }),
      searchUrl ? el("a", { href: searchUrl + encodeURIComponent(one.name), target: "_blank", rel: "noopener noreferrer", tabindex: "-1", text: "search", title: "Search the web for this name (W); no image is sent" }) : null),
    one.definition ? el("p", { class: "definition", text: one.definition }) : null,
    exemplars.length ? el("div", { class: "exemplars", "aria-hidden": "true" }, ...exemplars) : null,
    el("div", { class: "verdicts" }, ...buttons, said ? el("span", { class: "quiet", text: `suggested: ${said} (Enter confirms)` }) : null));
}

/** Left and right go along a panel's buttons; the panel is one stop for Tab. */
function alongButtons(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const at = buttons.indexOf(event.target);
  event.preventDefault();
  buttons[at < 0 ? (by > 0 ? 0 : buttons.length - 1) : (at + by + buttons.length) % buttons.length].focus();
}

function furtherPanel(state) {
  const button = (key, text, click) => el("button", { type: "button", class: "button", tabindex: "-1", on: { click } }, el("kbd", { text: key }), el("span", { text }));
  return el("section", { class: "candidate further", role: "group", tabindex: "0", "aria-label": "Further classes", dataset: { class: "further" }, on: { focusin: () => state.choose("further"), pointerdown: () => state.choose("further"), keydown: alongButtons } },
    el("div", { class: "title" }, el("h3", { text: "Is there another class of the list in it?" })),
    el("div", { class: "verdicts" }, button("N", "No further class", (event) => state.nothingFurther(event.timeStamp)), button("A", "Add a class", () => state.addClass())));
}

/** Show on a view what has been decided, and which panel is in hand. */
function markView(state, view) {
  const { record } = view;
  if (view.filled !== record.candidates.length) fillPanels(state, view);
  for (const panel of view.panels.querySelectorAll(".candidate")) {
    const own = panel.dataset.class;
    const current = own === String(state.current);
    panel.classList.toggle("current", current);
    if (current && view.marked !== state.current) bringInto(state.frame.right, panel);
    const said = own === "further" ? null : record.verdicts.get(Number(own));
    panel.classList.toggle("decided", own === "further" ? record.further !== null : Boolean(said));
    for (const button of panel.querySelectorAll(".verdict")) button.setAttribute("aria-pressed", String(button.dataset.verdict === said?.verdict));
  }
  view.marked = state.current;
  const problems = state.data.problems.filter(([value]) => record.problems.has(value)).map(([, words]) => words);
  const remarks = record.remarks.map(({ kind, text }) => (kind === "outside" ? `outside the list: ${text}` : `note: ${text}`));
  view.panels.querySelector(".remarks").textContent = [...problems, ...remarks].join(" · ");
}

/** Scroll a list, and not the page, so that one of its parts is in sight. */
function bringInto(list, part) {
  const [box, own] = [list.getBoundingClientRect(), part.getBoundingClientRect()];
  if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom;
  if (own.top < box.top) list.scrollTop -= box.top - own.top;
}

/** "the label", "predicted by a, b", "a decoy": where a class came from, once that may be said. */
function sourceWords(sources) {
  const runs = sources.filter((source) => source !== "label" && source !== "decoy");
  return [sources.includes("label") ? "the label" : "", runs.length ? `predicted by ${runs.join(", ")}` : "", sources.includes("decoy") ? "a decoy" : ""].filter(Boolean).join(", ");
}

/** Why is it wrong, and how bad: one screen, with the sources shown now. */
function makeQuestion(state, record, classIndex) {
  const revealed = new Map(state.revealed.get(record.reading.id).map((one) => [one.class, one.sources]));
  const one = record.candidates.find((candidate) => candidate.index === classIndex);
  const { causes, severities, session } = state.data;
  const choice = (kind, value, key, words, more) => el("button", { type: "button", class: "choice", "aria-pressed": "false", dataset: { kind, value }, on: { click: (event) => state.explain(kind, value, event.timeStamp) } },
    el("kbd", { text: key }), el("span", { text: words }), more ? el("span", { class: "quiet", text: more }) : null);
  const rows = record.candidates.map((candidate) => {
    const said = VERDICTS.find(({ verdict }) => verdict === record.verdicts.get(candidate.index)?.verdict);
    return el("li", {}, said ? chip(candidate.name, said.outcome) : el("span", { text: candidate.name }), el("span", { class: "quiet", text: candidate.added ? "added by you" : sourceWords(revealed.get(candidate.index) ?? []) }));
  });
  return el("div", { class: "question", role: "group", tabindex: "0", "aria-label": `Why is ${one.name} wrong?` },
    el("h2", {}, "Why is ", el("strong", { text: one.name }), " wrong?"),
    one.exemplars.length ? el("div", { class: "exemplars", "aria-hidden": "true" }, ...one.exemplars.map((tile) => picture(session, tile, 96 * Math.min(2, devicePixelRatio || 1), { lazy: false, alt: "" }))) : null,
    el("ul", { class: "sources" }, ...rows),
    el("div", { class: "choices" }, ...causes.map(([value, words, more], place) => choice("cause", value, String(place + 1), words, more))),
    el("h3", { text: "How bad is it?" }),
    el("div", { class: "choices across" }, ...severities.map(([value, words]) => choice("severity", value, SEVERITY_KEYS[value], words))),
  );
}

function makeEnd(state) {
  const records = [...state.deck.records.values()];
  const finished = records.filter((record) => state.deck.complete(record));
  const left = records.filter((record) => !state.deck.complete(record));
  const skipped = left.filter((record) => record.skips).length;
  const { saved } = state.queue, pending = state.queue.pending().length, failed = state.queue.failed().length;
  const lines = [
    records.length ? `${finished.length} ${finished.length === 1 ? "image" : "images"} judged${skipped ? `, ${skipped} skipped` : ""}.` : "There is nothing to judge here at the moment.",
    pending ? `${pending} ${pending === 1 ? "judgement is" : "judgements are"} still to be saved; they are kept on this computer until then.` : records.length ? `Everything is saved (${saved} on this visit).` : "",
    failed ? `${failed} not accepted by the server: see above.` : "",
  ];
  return el("div", { class: "end", role: "status" }, el("h2", { text: "All done" }), ...lines.filter(Boolean).map((text) => el("p", { text })));
}

/** The frame: head, stage, panels, legend. Made once; its parts are filled as things change. */
function makeFrame(state, legend) {
  const frame = {
    progress: el("span", { class: "progress" }), note: el("span", { class: "note quiet" }), counts: el("span", { class: "counts" }),
    failed: el("button", { type: "button", class: "failed", hidden: true, on: { click: () => showFailed(state.root, state.queue) } }),
    trouble: el("span", { class: "trouble", role: "status" }), live: el("p", { class: "unseen", "aria-live": "polite" }),
    left: el("div", { class: "image" }), right: el("div", { class: "beside" }), flash: el("div", { class: "flash", role: "alert" }),
    revealed: el("p", { class: "revealed quiet" }), legend: el("div", { class: "legend", role: "toolbar", "aria-label": "Commands" }),
  };
  for (const { key, words, run, only } of legend) {
    frame.legend.append(el("button", { type: "button", class: "button", dataset: { only: only ?? "" }, on: { click: (event) => run(event.timeStamp) } }, el("kbd", { text: key }), el("span", { text: words })));
  }
  frame.element = el("div", { class: "judge" },
    el("div", { class: "head" }, frame.progress, frame.note, el("span", { class: "spring" }), frame.trouble, frame.failed, frame.counts),
    el("div", { class: "body" }, frame.left, frame.right, frame.flash), frame.revealed, frame.legend, frame.live);
  return frame;
}

function markCounts(state) {
  const { frame, queue } = state;
  const pending = queue.pending().length, failed = queue.failed();
  frame.counts.textContent = `saved ${queue.saved} · pending ${pending} · failed ${failed.length}`;
  frame.failed.hidden = !failed.length;
  frame.failed.textContent = failed.length ? `Not accepted: ${failed[0].reason}${failed.length > 1 ? ` (and ${failed.length - 1} more)` : ""}` : "";
  const kept = queue.stored ? "kept on this computer, trying again" : "not kept on this computer: leave this tab open";
  const words = pending && (queue.trouble || !queue.stored) ? `${queue.trouble ? `${queue.trouble}; ` : ""}${pending} ${kept}.` : "";
  if (frame.trouble.textContent !== words) frame.trouble.textContent = words;
}
