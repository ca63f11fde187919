export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const { session, rows, selected, empty } = data;
  const open = (item) => setTriggerValue("open", item);

  const changed = renderOnce(root, { ...data, session: session.workspace }, () => {
    if (!rows.length) return el("div", { class: "empty", text: empty });
    return el("div", { class: "rows", role: "list" }, ...rows.map((row) => mistake(session, row, selected, open)));
  });
  const list = root.querySelector(".rows");
  if (changed && list) roving(list);
}

function mistake(session, row, selected, open) {
  const { tile } = row;
  const main = el("button", {
    class: `tile main${tile.item === selected ? " selected" : ""}`,
    type: "button",
    "aria-label": describe(tile),
    dataset: { item: tile.item },
    on: { click: () => open(tile.item) },
  }, picture(session, tile, 160 * Math.min(2, devicePixelRatio || 1), { alt: "" }));
  return el("div", { class: "row", role: "listitem" },
    main,
    examples(session, row.label, "label", null, open),
    examples(session, row.predicted, row.role, tile.outcome, open),
    el("div", { class: "evidence" },
      row.severity ? el("p", {}, el("span", { class: "severity", text: row.severity })) : null,
      ...row.evidence.map((sentence) => el("p", { text: sentence })),
      row.saidBy ? el("p", { class: "said-by", text: row.saidBy }) : null,
      el("p", { class: "key", text: tile.key, title: tile.key }),
    ),
  );
}

function examples(session, shown, role, outcome, open) {
  const pictures = el("div", { class: "pictures" });
  for (const tile of shown.tiles) {
    pictures.append(el("button", { class: "tile", type: "button", "aria-label": `Example of ${shown.name}: ${describe(tile)}`, title: tile.key, dataset: { item: tile.item }, on: { click: () => open(tile.item) } }, picture(session, tile, 96 * Math.min(2, devicePixelRatio || 1), { alt: "" })));
  }
  if (!shown.tiles.length && shown.none) pictures.append(el("span", { class: "none", text: shown.none }));
  return el("div", { class: "examples" },
    el("div", { class: "head" }, el("span", { class: "role", text: role }), chip(shown.name, outcome), shown.text ? el("span", { class: "text", text: shown.text }) : null),
    pictures,
  );
}
