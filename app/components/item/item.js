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

/** The image: fitted at first; the wheel zooms at the pointer, a drag moves, a click goes to one pixel a pixel. */
function stage(session, tile, size) {
  const view = { zoom: 1, x: 0, y: 0 };
  const preview = picture(session, tile, 640, { lazy: false });
  const image = preview.querySelector("img");
  const zoomed = el("span", { class: "zoomed quiet" });
  const button = (text, title, click) => el("button", { type: "button", class: "button", text, title, on: { click } });
  const box = el("div", { class: "stage" }, preview,
    el("div", { class: "zoom-bar" }, zoomed, button("Fit", "Fit into the frame", () => set(1)), button("1:1", "Original size", () => set(original()))));
  if (size) preview.style.aspectRatio = String(Math.min(2.2, Math.max(0.9, size[0] / size[1])));

  let full = false;
  const fitted = () => (size ? Math.min(preview.clientWidth / size[0], preview.clientHeight / size[1]) : 1);
  const original = () => Math.max(0.05, 1 / fitted() / (devicePixelRatio || 1));
  function set(zoom, px = preview.clientWidth / 2, py = preview.clientHeight / 2) {
    const bounded = Math.min(Math.max(zoom, Math.min(1, original())), Math.max(8, 8 * original()));
    const ratio = bounded / view.zoom;
    view.x = px - (px - view.x) * ratio;
    view.y = py - (py - view.y) * ratio;
    view.zoom = bounded;
    if (bounded === 1) view.x = view.y = 0;
    // Pixels beyond the preview's are fetched only when somebody looks closer.
    if (bounded > 1 && !full) {
      full = true;
      const sharp = new Image();
      const url = imageUrl(session, tile, "full");
      sharp.onload = () => (image.src = url);
      sharp.src = url;
    }
    show();
  }
  function show() {
    const [w, h] = [preview.clientWidth, preview.clientHeight];
    if (view.zoom > 1) {
      view.x = Math.min(0, Math.max(w * (1 - view.zoom), view.x));
      view.y = Math.min(0, Math.max(h * (1 - view.zoom), view.y));
    } else {
      view.x = (w * (1 - view.zoom)) / 2;
      view.y = (h * (1 - view.zoom)) / 2;
    }
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    preview.classList.toggle("near", view.zoom > 1);
    image.classList.toggle("pixels", view.zoom >= 4 * original());
    zoomed.textContent = size ? `${Math.round(view.zoom * fitted() * 100)} %` : "";
  }
  const place = (event) => {
    const rectangle = preview.getBoundingClientRect();
    return [event.clientX - rectangle.left, event.clientY - rectangle.top];
  };
  preview.addEventListener("wheel", (event) => {
    event.preventDefault();
    set(view.zoom * Math.exp(-event.deltaY * 0.0018), ...place(event));
  }, { passive: false });
  let from = null, moved = 0;
  preview.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = place(event);
    moved = 0;
    preview.setPointerCapture(event.pointerId);
  });
  preview.addEventListener("pointermove", (event) => {
    if (!from) return;
    const now = place(event);
    moved += Math.hypot(now[0] - from[0], now[1] - from[1]);
    if (moved > 4 && view.zoom > 1) {
      view.x += now[0] - from[0];
      view.y += now[1] - from[1];
      show();
    }
    from = now;
  });
  preview.addEventListener("pointerup", (event) => {
    if (from && moved <= 4) set(view.zoom === 1 ? (Math.abs(original() - 1) < 0.1 ? 2 : original()) : 1, ...place(event));
    from = null;
  });
  preview.addEventListener("pointercancel", () => (from = null));
  image?.addEventListener("load", show);
  return box;
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
