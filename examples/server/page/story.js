/*
 * story.js: what happened, and how to say it. SPDX-License-Identifier: MIT
 *
 * Pure: no page, no clock of its own, no request. The app tells it what came;
 * the view shows what it holds.
 */

/* What comes so soon after `ready` was there before, in ms: a guess, and a low
 * one where much is replayed. */
const AT_ONCE = 100;

/* Rows that are kept for the view. */
const ROWS = 400;

/** What a verdict means, in a sentence or two. */
const VERDICTS = {
  fresh: 'This page had no cursor, so it gets everything from the start.',
  resumed: 'The server knew the cursor and went on right after it.',
  evicted: 'What follows the cursor has been dropped meanwhile. The hole is marked in the text.',
  ahead: 'The cursor claimed more than there is. That proves nothing, so the answer starts over.',
  rewound: 'The server has lost events that this page had. They were taken back.',
  foreign: 'The cursor belongs to some other answer, so this one starts over.',
  malformed: 'That was no cursor at all, so the answer starts over.',
};

/* Why a connection was lost, as one reads it. */
const CAUSES = {
  dropped: 'the line broke',
  silence: '30 s of silence',
  hole: 'an event was missing',
  apply: 'this page could not apply an event',
  onGap: 'this page could not apply a gap',
};

const CLOSINGS = {
  replaced: 'another tab took over',
  draining: 'the server is going away',
  unavailable: 'the server is busy',
  expired: 'its time was up',
};

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const many = (n, one) => `${n} ${one}${n === 1 ? '' : 's'}`;

/** The number at the end of a cursor. */
export function seqOf(id) {
  const number = /(\d+)$/.exec(id || '');

  return number ? Number(number[1]) : 0;
}

/** An id short enough to read: the epoch's first letters and the number. */
export function shorten(id) {
  return id.replace(/^([a-z2-7]{4})[a-z2-7]+-/, '$1\u2026-');
}

export class Story {
  constructor() {
    this.links = []; /* connections, oldest first */
    this.rows = []; /* events, signals, gaps: oldest first, the last of them */
    this.forget();
  }

  /** Another answer: what was counted belongs to the one before. */
  forget() {
    this.past = this.links.length; /* connections of the one before */
    this.events = 0;
    this.signals = 0;
    this.beats = 0;
    this.duplicates = 0;
    this.gaps = 0;
    this.rows.length = 0;
    this.written = 0; /* rows, also those that are gone */
    this.version = (this.version || 0) + 1; /* of what is not appended to */
  }

  get replayed() {
    return this.links
      .slice(this.past)
      .reduce((sum, link) => sum + link.replayed, 0);
  }

  get live() {
    return this.events - this.replayed;
  }

  get link() {
    return this.links[this.links.length - 1];
  }

  /** A connection is tried. */
  ask(now, cursor, transport) {
    this.links.push({
      number: this.links.length + 1,
      cursor,
      transport,
      verdict: '',
      head: -1, /* the newest event when it began; until it is known, a guess */
      known: false,
      first: 0,
      last: 0, /* its newest event */
      events: 0,
      replayed: 0,
      since: now,
      readyAt: 0,
      until: 0,
      ended: '',
    });
  }

  accept(ready, now) {
    this.link.readyAt = now;
    this.link.verdict = ready.verdict;
    this.link.first = seqOf(ready.id) + 1;
  }

  /** What was there when a connection began: up to here it was replayed. No
   * frame says it, so the app has to ask; by then events may have come. Where
   * there is no answer the guess stays. */
  knowHead(link, last) {
    if (!link.known) {
      link.known = true;
      link.head = last;
      link.replayed = Math.max(0, link.events - Math.max(0, link.last - last));
      this.version += 1;
    }
  }

  /** How an event came: live, replayed, or kept by this page over a reload. */
  came(one) {
    const link = this.links[one.link - 1];

    if (!link) {
      return 'kept';
    }
    return one.seq <= link.head ? 'replayed' : 'live';
  }

  /** An event. */
  add(event, now) {
    const link = this.link;
    const row = this.put('event', event.type, event.data);

    row.id = event.id;
    row.seq = event.seq;
    this.events += 1;
    link.events += 1;
    link.last = event.seq;
    if (!link.known && now - link.readyAt < AT_ONCE) {
      link.head = event.seq;
    }
    link.replayed += event.seq <= link.head ? 1 : 0;
  }

  put(kind, type, data) {
    const row = { kind, type, data, link: this.link.number, id: '', seq: 0 };

    this.rows.push(row);
    this.written += 1;
    if (this.rows.length > ROWS) {
      this.rows.shift();
    }
    return row;
  }

  signal(one) {
    this.signals += 1;
    this.put('signal', one.type, one.data);
  }

  gap(gap) {
    this.gaps += 1;
    this.put('gap', 'weir.gap', gap.verdict).id = gap.id;
  }

  finish(type, id, text) {
    if (this.link) {
      this.put('end', type, text).id = id;
    }
  }

  /** A connection is over. */
  lose(now, how) {
    if (this.link && this.link.until === 0) {
      this.link.until = now;
      this.link.ended = how;
    }
  }
}

/** Why a connection ended, in a few words for a table. */
export function ending(cause, closing) {
  return CLOSINGS[closing] || CAUSES[cause] || cause;
}

/* ---- sentences ---- */

export function sayConnected(link) {
  return link.verdict === 'resumed'
    ? `Back. The server went on after event ${seqOf(link.cursor)}, where this page stood.`
    : `Connected. ${VERDICTS[link.verdict] || ''}`;
}

export function sayReplayed(link) {
  const place = `Back, after event ${seqOf(link.cursor)}.`;

  if (link.verdict === 'resumed' && link.replayed === 0) {
    return `${place} Nothing had been missed.`;
  }
  if (link.verdict === 'resumed') {
    return link.replayed === 1
      ? `${place} The one event that had been missed came first.`
      : `${place} The ${link.replayed} events that had been missed came first, each once.`;
  }
  if (link.verdict === 'fresh' && link.first > 1) {
    return `Connected. What came before event ${link.first} is no longer kept.`;
  }
  if (link.verdict === 'fresh' && link.replayed > 1) {
    return `Connected without a cursor, so the ${link.replayed} events that there were came first.`;
  }
  return sayConnected(link);
}

export function sayWaiting(wait, cursor, closing) {
  const place = `This page has everything up to event ${seqOf(cursor)}`;

  if (closing === 'replaced') {
    return 'Another connection with this tab\u2019s name has taken over. This one waits a minute, so that the two do not fight.';
  }
  if (wait.delay === 0) {
    return `The line broke. ${place}. The browser asks again by itself.`;
  }
  const why = CLOSINGS[closing] || CAUSES[wait.cause] || wait.cause;
  const again = wait.failures > 1 ? `, attempt ${wait.failures + 1}` : '';

  return `Connection lost: ${why}. ${place}, and asks for the rest in ${seconds(wait.delay)}${again}.`;
}

const FAILURES = {
  idle_timeout:
    'The producer fell silent, so the watchdog failed the answer: idle_timeout. Heartbeats are not progress.',
  first_event_timeout: 'The producer never said a word, so the watchdog failed the answer: first_event_timeout.',
};

const REASONS = {
  complete: 'The end. It is an event too, so whoever was away learns of it.',
  cancelled: 'The answer was stopped. That is an end like any other, and stored.',
  replaced_by_new_stream:
    'A new answer has taken this one\u2019s place. This one has ended in good order.',
};

export function sayStalled(limit) {
  return `No event for a while. If none comes within ${limit / 1000} s, the watchdog fails the answer.`;
}

export function sayEnd(end) {
  switch (end.kind) {
    case 'done':
      return REASONS[end.reason] || `The end: ${end.reason}.`;
    case 'failed':
      return (
        FAILURES[end.code] ||
        `The answer failed: ${end.code}. ${end.message} The text up to here stays.`
      );
    case 'finished':
      return 'The server answered 204: this page has everything. It stops asking.';
    case 'refused':
      return end.status === 404
        ? 'There is no answer under this name yet.'
        : `The server refuses: status ${end.status}.`;
    default:
      return `${many(end.failures, 'attempt')} in a row without an event. This page stops asking by itself.`;
  }
}

export function sayRestored(end) {
  if (!end) {
    return 'Restored after a reload, text and cursor together.';
  }
  return end.kind === 'failed'
    ? `This answer had failed: ${end.code}. It is shown as it was, and not started again.`
    : 'This answer had ended. It was restored in this tab, and nothing was asked for.';
}
