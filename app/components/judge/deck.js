// Which reading is next, what has been decided on it, and what one key takes back. No page, no network.

/**
 * `records` maps a reading's id to {reading, candidates, verdicts, further, problems, remarks, skips, closed}:
 * `candidates` are the reading's and those that the person added, `verdicts` maps a class to {verdict, id},
 * `further` is the id of "no further class", `problems` maps a problem to its id. `history` holds what undo takes
 * back, newest last: {judgement, name, previous} or {skipped: id of a reading}.
 */
function makeDeck() {
  const deck = { records: new Map(), order: [], history: [], take, apply, takeBack, skip, undecided, complete, open, upcoming, unseen, wrongClasses };

  /** The page's readings: new ones are put on, those it no longer passes go, unless one is in hand. */
  function take(readings, inHand) {
    const listed = new Set(readings.map((reading) => reading.id));
    let fresh = 0;
    for (const reading of readings) {
      if (deck.records.has(reading.id)) continue;
      deck.records.set(reading.id, makeRecord(reading));
      fresh += 1;
    }
    // A reading that is over stays known, so that it does not come back while the page still passes it.
    for (const [id, record] of deck.records) if (!listed.has(id) && id !== inHand && open(record) && !record.touched) deck.records.delete(id);
    deck.order = [...deck.records.keys()];
    return fresh;
  }

  function makeRecord(reading) {
    const verdicts = new Map(reading.candidates.filter((one) => one.decided).map((one) => [one.index, { verdict: one.decided, id: null }]));
    return { reading, candidates: [...reading.candidates], verdicts, further: null, problems: new Map(), remarks: [], skips: 0, closed: false, touched: false };
  }

  /** Book a judgement; one of a reading that is not here changes nothing. */
  function apply(judgement, name) {
    if (judgement.kind === "undo") {
      const index = deck.history.findLastIndex((entry) => entry.judgement?.id === judgement.undoes);
      if (index >= 0) revert(deck.history.splice(index, 1)[0]);
      return;
    }
    const record = deck.records.get(judgement.reading);
    if (!record) return;
    record.touched = true;
    const entry = { judgement, name, previous: null };
    const { id, kind } = judgement;
    if (kind === "verdict") {
      entry.previous = record.verdicts.get(judgement.class) ?? null;
      record.verdicts.set(judgement.class, { verdict: judgement.verdict, id });
      if (!record.candidates.some((one) => one.index === judgement.class)) {
        record.candidates.push({ index: judgement.class, id: "", name, definition: "", exemplars: [], added: true });
      }
    } else if (kind === "exhaustive") record.further = id;
    else if (kind === "problem") record.problems.set(judgement.problem, id);
    else if (kind === "outside" || kind === "note") record.remarks.push(judgement);
    deck.history.push(entry);
  }

  /** Take the newest decision back and return it; null when there is none. */
  function takeBack() {
    const entry = deck.history.pop() ?? null;
    if (entry) revert(entry);
    return entry;
  }

  function revert({ judgement, previous, skipped }) {
    const record = deck.records.get(skipped ?? judgement.reading);
    if (!record) return;
    record.closed = false;
    if (skipped) record.skips -= 1;
    else if (judgement.kind === "verdict") {
      if (previous) record.verdicts.set(judgement.class, previous);
      else {
        record.verdicts.delete(judgement.class);
        record.candidates = record.candidates.filter((one) => one.index !== judgement.class || !one.added);
      }
    } else if (judgement.kind === "exhaustive") record.further = null;
    else if (judgement.kind === "problem") record.problems.delete(judgement.problem);
    else record.remarks = record.remarks.filter((one) => one !== judgement);
  }

  function skip(record) {
    record.touched = true;
    record.skips += 1;
    deck.history.push({ skipped: record.reading.id });
  }

  function undecided(record) {
    return record.candidates.filter((one) => !record.verdicts.has(one.index));
  }

  function complete(record) {
    return undecided(record).length === 0 && (!record.reading.exhaustive || record.further !== null);
  }

  /** Whether it is still to be shown: a skipped one comes back once, unless its problem was said. */
  function open(record) {
    return !record.closed && !complete(record) && record.skips < (record.problems.size ? 1 : 2);
  }

  /** Records to show, in order: skipped ones last. */
  function upcoming() {
    const left = deck.order.map((id) => deck.records.get(id)).filter(open);
    return [...left.filter((record) => !record.skips), ...left.filter((record) => record.skips)];
  }

  function unseen() {
    return upcoming().filter((record) => !record.skips).length;
  }

  function wrongClasses(record) {
    return [...record.verdicts].filter(([, { verdict }]) => verdict === "wrong").map(([index]) => index);
  }

  return deck;
}
