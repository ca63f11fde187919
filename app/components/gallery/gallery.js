export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const { session, tiles, tileSize, compact, selected, first, total, empty } = data;
  const open = (item) => setTriggerValue("open", item);

  // The token changes now and then; that is no reason to draw the pictures again.
  const changed = renderOnce(root, { ...data, session: session.workspace }, () => {
    if (!tiles.length) return el("div", { class: "empty", text: empty });
    const grid = el("div", {
      class: `grid${compact ? " compact" : ""}`,
      role: "group",
      "aria-label": `Items ${first + 1} to ${first + tiles.length} of ${total}`,
      style: { "--tile": `${tileSize}px` },
    });
    for (const tile of tiles) grid.append(tileButton(session, tile, tileSize, open, { compact, selected: tile.item === selected }));
    return grid;
  });
  const grid = root.querySelector(".grid");
  if (changed && grid) roving(grid);
}
