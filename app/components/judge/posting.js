// Judgements on their way to the server: kept on this computer until it has said that they are saved.

const BATCH = 100;
const PATIENCE_MS = 15_000;
const LONGEST_WAIT_MS = 15_000;

/** The queue of a place (a workspace's route and a person); one for all mounts of this tab. */
function queueOf(session, url, person) {
  const place = `errata.judge|${session.workspace}|${url}|${person}|`;
  const queues = (globalThis.errataJudgeQueues ??= new Map());
  if (!queues.has(place)) queues.set(place, makeQueue(place, url));
  return queues.get(place);
}

/**
 * `entries` holds all that is not saved yet, in order: {at, judgement, name, reason?}, with a reason once the server
 * refused it. Each is a key of its own in the browser's storage, so that two tabs cannot overwrite each other.
 */
function makeQueue(place, url) {
  const queue = {
    entries: new Map(), saved: 0, trouble: "", token: "", stored: true,
    onChange() {}, onRevealed() {}, onRenew() {},
    add, undo, retry, discard, adopt, soon, hurry, leave, useToken,
    pending: () => [...queue.entries.values()].filter((entry) => entry.reason === undefined),
    failed: () => [...queue.entries.values()].filter((entry) => entry.reason !== undefined),
  };
  let busy = false, tries = 0, timer = null, due = Infinity, limit = BATCH;

  /** Judgements that an earlier visit, or another tab, has left here; posting them twice is harmless. */
  function adopt() {
    const found = [];
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const key = localStorage.key(i);
        if (!key.startsWith(place) || queue.entries.has(key.slice(place.length))) continue;
        const entry = JSON.parse(localStorage.getItem(key));
        if (entry?.judgement?.id) found.push(entry);
      }
    } catch {
      // Storage is closed to us, or holds what another program wrote: there is nothing to adopt.
    }
    found.sort((a, b) => a.at - b.at);
    for (const entry of found) queue.entries.set(entry.judgement.id, entry);
    if (found.length) soon(0);
    return found;
  }

  function store(entry) {
    try {
      localStorage.setItem(place + entry.judgement.id, JSON.stringify(entry));
      queue.stored = true;
    } catch {
      queue.stored = false; // full, or forbidden: the page says so, and asks before it is closed
    }
  }

  function forget(id) {
    queue.entries.delete(id);
    try {
      localStorage.removeItem(place + id);
    } catch {
      // It was never stored.
    }
  }

  function add(judgement, name, wait = 250) {
    // Two in one millisecond still have an order.
    queue.last = Math.max(Date.now(), (queue.last ?? 0) + 0.001);
    const entry = { at: queue.last, judgement, name };
    queue.entries.set(judgement.id, entry);
    store(entry);
    soon(wait);
    queue.onChange();
  }

  /** Take a judgement back: one that the server refused was never made. */
  function undo(id, judgement, name) {
    if (queue.entries.get(id)?.reason === undefined) add(judgement, name, 0);
    else discard([id]);
  }

  function retry() {
    for (const entry of queue.failed()) {
      delete entry.reason;
      store(entry);
    }
    hurry();
    queue.onChange();
  }

  function discard(ids) {
    ids.forEach(forget);
    queue.onChange();
  }

  function useToken(token) {
    if (token === queue.token) return;
    queue.token = token;
    if (queue.trouble) hurry();
  }

  /** Post within so many milliseconds; while there is trouble, at the attempt that is planned. */
  function soon(wait = 0) {
    const at = Date.now() + wait;
    if (busy || (timer !== null && (queue.trouble || due <= at))) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(post, wait);
  }

  /** Something has changed for the better (network, token, a person's wish): try at once. */
  function hurry() {
    tries = 0;
    clearTimeout(timer);
    timer = null;
    soon(0);
  }

  function request(batch, more = {}) {
    return fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${queue.token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ judgements: batch.map((entry) => entry.judgement) }),
      ...more,
    });
  }

  async function post() {
    timer = null;
    const batch = queue.pending().slice(0, limit);
    if (busy || !batch.length) return;
    busy = true;
    let wait = null, answer = null;
    try {
      answer = await request(batch, { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.ok) {
        if (!settle(batch, await answer.json())) throw new Error("The server has not said what became of the judgements.");
        queue.trouble = "";
        tries = 0;
        limit = Math.min(BATCH, limit * 2);
        wait = 0;
      } else if (answer.status === 401) {
        queue.trouble = "Your session is being renewed";
        queue.onRenew();
        wait = later();
      } else if (answer.status >= 500 || [408, 425, 429].includes(answer.status)) {
        queue.trouble = `The server answered ${answer.status}`;
        wait = later();
      } else {
        const reason = (await reasonOf(answer)) ?? `The server answered ${answer.status}.`;
        // One bad judgement spoils its batch: halves find it. Where the person may not write, all fail.
        if (batch.length > 1 && answer.status !== 403) limit = Math.ceil(batch.length / 2);
        else for (const entry of batch) refuse(entry, reason);
        wait = 0;
      }
    } catch (error) {
      if (answer) queue.trouble = "The server's answer is not understood";
      else queue.trouble = error.name === "TimeoutError" ? "The server does not answer" : "The server cannot be reached";
      wait = later();
    }
    busy = false;
    if (queue.pending().length) soon(wait);
    queue.onChange();
  }

  function later() {
    tries += 1;
    const wait = Math.min(LONGEST_WAIT_MS, 500 * 2 ** (tries - 1));
    return wait * (0.75 + Math.random() / 2);
  }

  /** Book the server's answer; false when it speaks of none of the batch. */
  function settle(batch, answer) {
    const known = new Map(batch.map((entry) => [entry.judgement.id, entry]));
    let settled = 0;
    for (const id of answer.saved ?? []) {
      if (!known.has(id)) continue;
      forget(id);
      queue.saved += 1;
      settled += 1;
    }
    for (const { id, reason } of answer.refused ?? []) {
      if (!known.has(id)) continue;
      refuse(known.get(id), reason);
      settled += 1;
    }
    if (answer.revealed) queue.onRevealed(answer.revealed);
    return settled > 0;
  }

  function refuse(entry, reason) {
    entry.reason = String(reason ?? "The server gave no reason.");
    store(entry);
  }

  /** The tab closes: a last attempt that may outlive it. What does not arrive waits here for the next visit. */
  function leave() {
    const batch = queue.pending().slice(0, BATCH);
    if (batch.length) request(batch, { keepalive: true }).catch(() => {});
  }

  return queue;
}
