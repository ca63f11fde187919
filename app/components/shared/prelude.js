// In front of every component's script: session, elements, images, signs. Data becomes text, never markup.

const OUTCOME_WORDS = { right: "right", wrong: "wrong", unclear: "unclear", unjudged: "not judged" };

/** An element: `attributes` may hold class, text, title, dataset, on (listeners) and plain attributes. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [property, v] of Object.entries(value)) element.style.setProperty(property, v);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The component's root element, dressed for the page's theme (which may change between two calls). */
function themedRoot(parentElement) {
  const root = parentElement.querySelector(".errata");
  root.classList.toggle("dark", isDark(root));
  return root;
}

function isDark(element) {
  const probe = el("span", { style: { color: "var(--st-background-color)", display: "none" } });
  element.append(probe);
  const channels = getComputedStyle(probe).color.match(/[\d.]+/g) ?? [255, 255, 255];
  probe.remove();
  const [r, g, b] = channels.map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

/** State of one mounted component across Streamlit's calls: made at the first, the same at later ones. */
const mounted = new WeakMap();
function stateOf(parentElement, make) {
  if (!mounted.has(parentElement)) mounted.set(parentElement, make());
  return mounted.get(parentElement);
}

/** Resolves once this browser holds a session cookie for the token; one exchange for all components of a page. */
function openSession(session, renew = false) {
  const shared = (globalThis.errataSessions ??= new Map());
  const known = shared.get(session.workspace);
  if (known && !(renew && known.token !== session.token) && !(renew && Date.now() - known.at > 5000)) return known.done;
  const done = fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${session.token}` } }).then(
    async (answer) => {
      if (!answer.ok) throw new Error((await reasonOf(answer)) ?? "Your session is over; reload the page.");
    },
  );
  shared.set(session.workspace, { token: session.token, at: Date.now(), done });
  // A failed exchange is forgotten, so that the next call tries again.
  done.catch(() => shared.delete(session.workspace));
  return done;
}

/** The server's reason for a refusal, in words; null where it gave none. */
async function reasonOf(answer) {
  try {
    return (await answer.json()).error ?? null;
  } catch {
    return null;
  }
}

/** GET with the session, opened anew once when it is over. Throws an Error with the reason in words. */
async function get(session, url) {
  await openSession(session);
  let answer = await fetch(url);
  if (answer.status === 401) {
    await openSession(session, true);
    answer = await fetch(url);
  }
  if (!answer.ok) throw new Error((await reasonOf(answer)) ?? `The server answered ${answer.status}.`);
  return answer;
}

const IMAGE_SIZES = [96, 160, 320, 640];
function imageUrl(session, tile, size) {
  const fitting = size === "full" ? "full" : (IMAGE_SIZES.find((s) => s >= size) ?? 640);
  return `/img/${encodeURIComponent(session.workspace)}/${tile.item}/${fitting}/${tile.hash}`;
}

/** What a picture shows, for people who do not see it. */
function describe(tile) {
  const parts = [tile.key];
  if (tile.label) parts.push(`label ${tile.label}`);
  if (tile.prediction) parts.push(`predicted ${tile.prediction}${tile.outcome ? ` (${OUTCOME_WORDS[tile.outcome]})` : ""}`);
  if (tile.note) parts.push(tile.note);
  return parts.join(", ");
}

/**
 * A box of fixed shape with an item's picture in it: shimmering while it loads, a tile with the reason when it
 * cannot be shown, a tile with key and label when the item has no pixels.
 */
function picture(session, tile, size, { lazy = true, alt = describe(tile) } = {}) {
  const box = el("span", { class: "picture" });
  if (tile.problem) return withReason(box, tile, tile.problem);
  if (!tile.hash) return withoutPixels(box, tile);
  const url = imageUrl(session, tile, size);
  const image = el("img", { alt, draggable: "false", decoding: "async", loading: lazy ? "lazy" : null });
  let tries = 0;
  box.classList.add("loading");
  const show = () => openSession(session).then(() => (image.src = url)).catch(failed);
  const failed = (error) => {
    box.classList.remove("loading");
    withReason(box, tile, error.message);
  };
  image.addEventListener("load", () => box.classList.remove("loading"));
  image.addEventListener("error", async () => {
    // An <img> does not tell why: ask again for the reason, and show the picture if it was a passing fault.
    try {
      await new Promise((resolve) => setTimeout(resolve, tries * 800));
      await get(session, url);
      if (++tries > 2) throw new Error("The picture could not be shown.");
      image.removeAttribute("src");
      image.src = url;
    } catch (error) {
      const offline = error instanceof TypeError;
      if (offline && ++tries <= 2) setTimeout(() => (image.src = url), tries * 1000);
      else failed(offline ? new Error("The server cannot be reached.") : error);
    }
  });
  box.append(image);
  show();
  return box;
}

function withReason(box, tile, reason) {
  box.classList.add("broken");
  box.replaceChildren(el("span", { class: "mark", text: "!", "aria-hidden": "true" }), el("span", { class: "why", text: reason, title: `${tile.key}: ${reason}` }));
  return box;
}

function withoutPixels(box, tile) {
  box.classList.add("pixelless");
  box.replaceChildren(
    el("span", { class: "name", text: tile.label ?? "no label" }),
    el("span", { class: "key", text: tile.key, title: tile.key }),
  );
  return box;
}

/** A name with the sign and colour of its outcome; without an outcome, the name alone. */
function chip(text, outcome, title = text) {
  return el(
    "span",
    { class: `chip ${outcome ?? ""}`, title: outcome ? `${title} (${OUTCOME_WORDS[outcome]})` : title },
    outcome ? el("span", { class: "sign", text: SIGNS[outcome], "aria-hidden": "true" }) : null,
    el("span", { class: "words", text }),
    outcome ? el("span", { class: "unseen", text: `, ${OUTCOME_WORDS[outcome]}` }) : null,
  );
}

/** A tile that can be clicked: picture, label, prediction. Compact: one line of words. */
function tileButton(session, tile, size, open, { compact = false, selected = false } = {}) {
  const words = el("span", { class: "words-of-tile" });
  const note = tile.note ? el("span", { class: "note", text: tile.note }) : null;
  if (tile.prediction && !compact) {
    words.append(el("span", { class: "label", text: tile.label ?? "no label", title: tile.label ?? "no label" }));
    words.append(chip(tile.prediction, tile.outcome));
  } else {
    const text = tile.label ?? tile.prediction ?? tile.key;
    words.append(tile.outcome ? chip(text, tile.outcome) : el("span", { class: "label", text, title: text }));
  }
  if (note) words.append(note);
  return el(
    "button",
    {
      class: `tile${selected ? " selected" : ""}`,
      type: "button",
      "aria-label": describe(tile),
      "aria-current": selected ? "true" : null,
      dataset: { item: tile.item },
      on: { click: () => open(tile.item) },
    },
    picture(session, tile, size * Math.min(2, devicePixelRatio || 1), { alt: "" }),
    words,
  );
}

/** Arrow keys, Home and End move the focus among an element's tiles; one of them is in the tab order. */
function roving(container, selector = ".tile") {
  const tiles = () => [...container.querySelectorAll(selector)];
  const reachable = (chosen) => {
    for (const tile of tiles()) tile.tabIndex = tile === chosen ? 0 : -1;
  };
  const all = tiles();
  reachable(all.find((tile) => tile.classList.contains("selected")) ?? all[0]);
  container.onfocusin = (event) => event.target.matches?.(selector) && reachable(event.target);
  container.onkeydown = (event) => {
    const here = tiles();
    const index = here.indexOf(event.target);
    if (index < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const top = here[0].offsetTop;
    const columns = Math.max(1, here.findIndex((tile) => tile.offsetTop > top) + 1 ? here.findIndex((tile) => tile.offsetTop > top) : here.length);
    const goal = { ArrowLeft: index - 1, ArrowRight: index + 1, ArrowUp: index - columns, ArrowDown: index + columns, Home: 0, End: here.length - 1 }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    here[Math.max(0, Math.min(here.length - 1, goal))].focus();
  };
}

/** Replace an element's children only when what they are made from has changed. */
function renderOnce(element, made, make) {
  const now = JSON.stringify(made);
  if (element.errataMade === now) return false;
  element.errataMade = now;
  element.replaceChildren(...[make()].flat());
  return true;
}
