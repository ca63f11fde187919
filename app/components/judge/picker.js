// Finding a class among a thousand or many more, by name, synonym or hypernym, as fast as one types.

const SHOWN_CLASSES = 50;

// By kind of text (name, synonym, hypernym), then by fit (see fitOf): how far down the list a match stands.
const RANKS = [[0, 3, 6, 9, 14], [2, 5, 8, 11, 16], [7, 12, 13, 15, 18]];
const SCATTERED_RANK = 20;

/** Lower case, no accents, words parted by single spaces. */
function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

/** Classes made ready for `findClasses`: every text that leads to one, with what kind of text it is. */
function indexClasses(classes) {
  return classes.map((one) => {
    const texts = [[one.name, 0], [one.id, 0], ...(one.synonyms ?? []).map((text) => [text, 1]), ...(one.hypernyms ?? []).map((text) => [text, 2])];
    return { one, texts: texts.map(([text, kind]) => ({ text, kind, words: ` ${plain(text)}` })) };
  });
}

/**
 * The classes that a query finds, best first: [{class, text: what was found, kind: 0 name, 1 synonym, 2 hypernym}].
 * A whole text comes before its beginning, that before the beginning of a word, that before the inside of one; a
 * name before a synonym before a hypernym. Words may come in any order, and from several texts of one class.
 */
function findClasses(index, query) {
  const wanted = plain(query);
  if (!wanted) return [];
  const words = wanted.split(" ");
  const found = [];
  for (const { one, texts } of index) {
    let best = null;
    for (const { text, kind, words: said } of texts) {
      const fit = fitOf(said, wanted, words);
      const rank = fit === null ? null : RANKS[kind][fit];
      if (rank !== null && (best === null || rank < best.rank)) best = { class: one, text, kind, rank };
    }
    best ??= words.length > 1 && words.every((word) => texts.some(({ words: said }) => said.includes(` ${word}`))) ? { class: one, text: "", kind: 1, rank: SCATTERED_RANK } : null;
    if (best) found.push(best);
  }
  found.sort((a, b) => a.rank - b.rank || a.class.name.length - b.class.name.length || a.class.index - b.class.index);
  return found;
}

/**
 * How a text fits: 0 wholly, 1 by its beginning, 2 by the beginning of a word, 3 by all words in another order,
 * 4 by its inside; null where it does not. `said` begins with a space, as each of its words does.
 */
function fitOf(said, wanted, words) {
  if (said.length === wanted.length + 1 && said.endsWith(wanted)) return 0;
  if (said.startsWith(` ${wanted}`)) return 1;
  if (said.includes(` ${wanted}`)) return 2;
  if (words.length > 1 && words.every((word) => said.includes(` ${word}`))) return 3;
  return wanted.length > 2 && said.includes(wanted) ? 4 : null;
}

/** The class list of the page's address, fetched once a tab; a failed fetch is forgotten. */
function classesAt(session, url) {
  const known = (globalThis.errataClasses ??= new Map());
  if (!known.has(url)) {
    const index = get(session, url).then((answer) => answer.json()).then(indexClasses);
    index.catch(() => known.delete(url));
    known.set(url, index);
  }
  return known.get(url);
}

/** A dialog in which a class is found by typing; `choose` is called with the class. */
function pickClass(root, session, url, choose) {
  const status = el("p", { class: "quiet", role: "status", text: "Fetching the classes …" });
  const list = el("ul", { id: "classes", role: "listbox", class: "found", "aria-label": "Classes" });
  const input = el("input", {
    type: "text", role: "combobox", "aria-label": "Find a class", "aria-controls": "classes", "aria-expanded": "true",
    "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", placeholder: "Name, synonym or what it is a kind of",
  });
  const dialog = openDialog(root, "Add a class", input, list, status);
  let index = null, found = [], at = 0;

  function search() {
    if (!index) return;
    const started = performance.now();
    found = findClasses(index, input.value);
    at = 0;
    list.replaceChildren(...found.slice(0, SHOWN_CLASSES).map(option));
    list.scrollTop = 0;
    mark();
    const more = found.length > SHOWN_CLASSES ? `, the best ${SHOWN_CLASSES} shown` : "";
    status.textContent = !plain(input.value) ? `${index.length} classes` : found.length ? `${found.length} found${more}` : "No class is called so; try another word.";
    performance.measure("errata:find-class", { start: started, end: performance.now() });
  }
  function option({ class: one, text, kind }, place) {
    const why = kind && text ? `${kind === 2 ? "a kind of " : ""}${text}` : "";
    return el("li", { id: `class-${place}`, role: "option", on: { click: () => pick(place) } },
      el("span", { class: "name", text: one.name }), el("span", { class: "quiet", text: why }), el("code", { text: one.id }));
  }
  function mark() {
    [...list.children].forEach((row, place) => row.setAttribute("aria-selected", String(place === at)));
    if (list.children.length) input.setAttribute("aria-activedescendant", `class-${at}`);
    else input.removeAttribute("aria-activedescendant");
  }
  function pick(place) {
    if (!found[place]) return;
    dialog.close();
    choose(found[place].class);
  }

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") pick(at);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (!by && event.key !== "Enter") return;
    event.preventDefault();
    at = Math.max(0, Math.min(list.children.length - 1, at + (by ?? 0)));
    mark();
    list.children[at]?.scrollIntoView({ block: "nearest" });
  });
  classesAt(session, url).then((ready) => {
    index = ready;
    search();
  }).catch((error) => (status.textContent = error.message));
  input.focus();
}
