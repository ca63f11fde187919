export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const { session, pairs, largest, chosen } = data;
  const changed = renderOnce(root, { ...data, session: session.workspace }, () =>
    el("div", { class: "pairs", role: "group", "aria-label": "Confused classes, the most frequent first" },
      ...pairs.map((pair, place) => confused(session, pair, place, largest, place === chosen, (at) => setTriggerValue("choose", at)))),
  );
  if (changed) roving(root.querySelector(".pairs"), ".pair");
}

function confused(session, pair, place, largest, pressed, choose) {
  const images = `${pair.shown} ${pair.n === 1 ? "image" : "images"}`;
  return el("button", {
    class: `pair${pressed ? " selected" : ""}`,
    type: "button",
    title: `${pair.label} taken for ${pair.predicted}`,
    "aria-label": `${pair.label} taken for ${pair.predicted}: ${images} ${pair.words}`,
    "aria-pressed": String(pressed),
    on: { click: () => choose(place) },
  },
    side(session, pair.label, pair.labelTiles),
    el("span", { class: "arrow", text: "→", "aria-hidden": "true" }),
    side(session, pair.predicted, pair.predictedTiles),
    el("span", { class: "many" },
      el("span", { class: "n", text: pair.shown }),
      el("span", { class: "bar" }, el("span", { class: "filled", style: { width: `${(100 * pair.n) / Math.max(1, largest)}%` } })),
      pair.words ? el("span", { class: "below", text: pair.words }) : null,
    ),
  );
}

function side(session, name, tiles) {
  const strip = el("span", { class: "strip" });
  for (const tile of tiles) strip.append(picture(session, tile, 48 * Math.min(2, devicePixelRatio || 1), { alt: "" }));
  return el("span", { class: "side" }, el("span", { class: "name", text: name }), tiles.length ? strip : null);
}
