const STATE_OUTCOMES = { valid: "right", unclear: "unclear", rejected: "wrong" };

export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const state = stateOf(parentElement, () => ({ onKey: (event) => step(event, state) }));
  state.data = data;
  state.send = setTriggerValue;
  if (state.left !== undefined && state.left !== data.tile.item) {
    delete state.left;
    move(state, 0);
  }
  document.removeEventListener("keydown", state.onKey, true);
  document.addEventListener("keydown", state.onKey, true);

  renderOnce(root, { ...data, session: data.session.workspace }, () => {
    const { tile, session } = data;
    return el("div", { class: "item" },
      bar(data, state),
      tile.hash && !tile.problem ? stage(session, tile, data.size) : el("div", { class: "stage" }, picture(session, tile, 640)),
      data.sentence ? el("p", { class: `sentence ${data.outcome ?? ""}` }, data.outcome ? el("span", { class: "sign", text: SIGNS[data.outcome], "aria-hidden": "true" }) : null, el("span", { text: data.sentence })) : null,
      section("Labels", data.labels.length ? labelRows(data.labels) : null),
      section("Predictions", data.runs.length ? data.runs.map(runRow) : null),
      section("Judgements", data.judgements.length ? judgementRows(data.judgements) : null, data.judgementsNote),
      section("Most similar", data.neighbours.length ? strip(data, state) : null, data.neighboursNote),
      section("Metadata", data.metadata.length ? facts(data.metadata) : null),
    );
  });
  const neighbours = root.querySelector(".strip");
  if (neighbours && !neighbours.onkeydown) roving(neighbours);
  return () => {
    document.removeEventListener("keydown", state.onKey, true);
    mounted.delete(parentElement);
  };
}

/** Left and right step through the slice, unless something that uses them has the focus. */
function step(event, state) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const target = event.composedPath()[0];
  if (target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=combobox], [role=application], .strip")) return;
  event.preventDefault();
  event.stopPropagation();
  move(state, by);
}

/** Go on by so many items. While an answer is awaited steps add up, so that none is lost on a key held down. */
function move(state, by) {
  const steps = (state.steps ?? 0) + by;
  state.steps = steps;
  if (state.left !== undefined) return;
  state.steps = 0;
  if (!steps || (steps < 0 ? !state.data.hasPrevious : !state.data.hasNext)) return;
  state.left = state.data.tile.item;
  state.send("step", steps);
}

function bar(data, state) {
  const copied = el("span", { class: "quiet", role: "status" });
  const button = (text, title, click, attributes = {}) => el("button", { type: "button", class: "button", text, title, on: { click }, ...attributes });
  return el("div", { class: "bar" },
    button("←", "Previous item (left arrow)", () => move(state, -1), { "aria-label": "Previous item", disabled: !data.hasPrevious }),
    button("→", "Next item (right arrow)", () => move(state, 1), { "aria-label": "Next item", disabled: !data.hasNext }),
    data.place ? el("span", { class: "quiet", text: data.place }) : null,
    el("span", { class: "spring" }),
    copied,
    data.canJudge ? button("Judge", "Decide which classes this image shows", () => state.send("judge", data.tile.item)) : null,
    data.neighbours.length ? button("Similar", "Show everything like this item", () => state.send("similar", data.tile.item)) : null,
    button("Copy link", "Copy the address of what is seen here", async () => {
      copied.textContent = (await copy(location.href)) ? "Copied" : "Copy it from the address bar";
      setTimeout(() => (copied.textContent = ""), 2500);
    }),
  );
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The image, with buttons for its zoom. */
function stage(session, tile, size) {
  const preview = picture(session, tile, 640, { lazy: false });
  const zoomed = el("span", { class: "zoomed quiet" });
  const zoom = zoomable(preview, preview.querySelector("img"), { size, sharp: imageUrl(session, tile, "full"), onZoom: (words) => (zoomed.textContent = words) });
  const button = (text, title, click) => el("button", { type: "button", class: "button", text, title, on: { click } });
  if (size) preview.style.aspectRatio = String(Math.min(2.2, Math.max(0.9, size[0] / size[1])));
  return el("div", { class: "stage" }, preview,
    el("div", { class: "zoom-bar" }, zoomed, button("Fit", "Fit into the frame", zoom.fit), button("1:1", "Original size", () => zoom.set(zoom.original()))));
}

function section(title, content, note) {
  if (!content && !note) return null;
  return el("section", {}, el("h3", {}, el("span", { text: title }), note ? el("span", { class: "quiet", text: note }) : null), ...[content].flat());
}

function labelRows(labels) {
  const list = el("dl", { class: "labels" });
  for (const row of labels) {
    const said = row.chips.map((one) => {
      const shown = chip(one.name, STATE_OUTCOMES[one.state], `${one.name}: ${one.state}`);
      shown.classList.add("boxed");
      return shown;
    });
    list.append(el("dt", { text: row.name, title: row.name }), el("dd", {}, ...said, row.note ? el("span", { class: "quiet", text: row.note }) : null));
  }
  return list;
}

function runRow(run) {
  const list = el("ol", { class: "candidates" });
  for (const candidate of run.candidates) {
    list.append(el("li", { class: candidate.outcome ?? "" },
      chip(candidate.name, candidate.outcome),
      el("span", { class: "track" }, candidate.share === null ? null : el("span", { class: "fill", style: { width: `${Math.max(0.5, Math.min(100, candidate.share * 100))}%` } })),
      el("span", { class: "score", text: candidate.text })));
  }
  return el("div", { class: `run${run.current ? " current" : ""}` },
    el("h4", {}, el("span", { text: run.name, title: run.name }), run.note ? el("span", { class: "quiet", text: run.note }) : null), list);
}

/** Who said what, the oldest first; what was taken back or replaced is struck through. */
function judgementRows(judgements) {
  const list = el("ol", { class: "judgements" });
  for (const one of judgements) {
    list.append(el("li", { class: one.stands ? "" : "gone" },
      el("span", { class: "who", text: one.who, title: one.who }),
      el("span", { class: "what" }, chip(one.what, one.sign ?? undefined, one.stands ? one.what : `${one.what} (taken back or replaced)`), one.note ? el("span", { class: "quiet", text: one.note }) : null),
      el("time", { class: "quiet", text: one.when })));
  }
  return list;
}

function strip(data, state) {
  const tiles = el("div", { class: "strip", role: "group", "aria-label": "Most similar items" });
  for (const tile of data.neighbours) tiles.append(tileButton(data.session, tile, 96, (item) => state.send("open", item), { compact: true }));
  return tiles;
}

function facts(metadata) {
  const list = el("dl", { class: "facts" });
  for (const [name, value] of metadata) list.append(el("dt", { text: name, title: name }), el("dd", { text: value }));
  return list;
}
