/*
 * weir-client.js: read a weir stream in a page. SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The weir authors. See LICENSE.
 *
 * No dependency, no build step; ES modules in the syntax of ES2019. Take this
 * file with weir-line.js and weir-transport.js; weir-streams.js for several
 * streams.
 *
 *   import { connect } from './weir-client.js';
 *
 *   const answer = connect({
 *     url: '/streams/answer-1',
 *     types: ['token'],      // an EventSource hears only what it listens for
 *     content: '',           // what there is before the first event
 *     apply: (content, event) => content + event.data,
 *     onChange: (client) => { box.textContent = client.content; },
 *     onStatus: (status) => { banner.hidden = status === 'live'; },
 *     onEnd: (end) => { box.classList.add(end.kind); },
 *   });
 *   answer.close();          // final; nothing fires any more
 *
 * The client owns two things that only ever change together: the content and
 * the cursor. An event is given to `apply`, and when that has returned, and
 * only then, the cursor moves. So store both in one piece, and give both back:
 *
 *   onChange: (client) => store.set('a', JSON.stringify(client.snapshot())),
 *   ...
 *   connect({ ..., snapshot: JSON.parse(store.get('a')) });   // after a reload
 *
 * A snapshot of an answer that has ended does not connect again: what failed is
 * shown as failed and never restarted behind the reader's back. Being refused,
 * or giving up, is no end of the answer: a snapshot taken then does connect.
 *
 * OPTIONS
 *   url         of the stream; may carry a query
 *   stream      its key; frames that name another are dropped. Without it the
 *               first frame says which stream this is
 *   transport   'fetch' (default where there is one), 'eventsource', or a
 *               function (env, request, sink) that returns { close() }
 *   types       the application's event types, for 'eventsource'
 *   prefix      of weir's own types; 'weir.'
 *   envelope    true if the stream was opened with an envelope: event.data is
 *               then the data inside it, and what names another stream or
 *               generation is dropped
 *   client      the client key: a second connection with it replaces the first
 *   from        'start' (default) or 'head', where there is no cursor
 *   headers, credentials    for fetch
 *   withCredentials         for EventSource
 *   snapshot    what snapshot() gave
 *   content     the content before the first event, or a function that makes it
 *   dense       whether every number is expected; a hole is then asked for
 *               again, never skipped. Default: true with fetch, false with
 *               EventSource, which does not show types nobody listens for
 *   deadMs      silence after which a connection is given up; 30,000, 0 is off.
 *               Heartbeats count, so keep it above twice the server's 12 s
 *   lateMs      from `ready` to the first event until onLate; 35,000, 0 is off
 *   maxFailures connections in a row without an event before giving up; 5
 *   retryMs     until the server has told its own; 1,000
 *   backoffMs   the longest that this client waits unless told; 30,000
 *   schedule    coalesces onChange, for instance requestAnimationFrame; what it
 *               holds back is delivered before any end or gap
 *   env         replaces fetch, EventSource, timers, clock, chance (tests do)
 *
 * HANDLERS, each optional and replaceable at any time with on({ ... })
 *   apply(content, event)  the new content; undefined keeps the old (which may
 *       have been changed in place). Throw, and the event counts as not applied:
 *       it is asked for again. event: id, seq, epoch, type, data, stream,
 *       generation, connection
 *   onGap(gap, content)    events are missing: the new content, undefined keeps
 *       what was passed. gap: verdict, requested, first, last, id, from.
 *         evicted               what lies before `first` is gone for good; keep
 *                               what you have and show the hole
 *         ahead, foreign, malformed   start over: content is the initial one
 *         rewound               drop what you have from `first` on. Without
 *                               this handler the client starts over instead
 *   onChange(client)       content, cursor or end have changed
 *   onStatus(status, client)  idle, connecting, live, waiting, paused, ended,
 *       closed
 *   onReady(ready)         verdict, id, stream, generation, connection
 *   onSignal(signal)       type, data: not part of the content
 *   onBeat(kind)           'ping' or 'comment': alive, and nothing new
 *   onWait(wait)           cause, delay (ms; 0 where the browser decides),
 *       failures
 *   onClosing(closing)     reason: replaced, draining, unavailable, expired.
 *       The client comes back when told; after `replaced` that is a minute
 *   onLate()               ready, but no first event: show a fallback
 *   onEnd(end)             kind: done (reason), failed (code, message),
 *       finished (204), refused (status), gave_up (failures, cause). The text
 *       stays. After the last two resume() tries again
 *   onDrop(kind, frame)    duplicate or foreign: a frame that was not applied
 *   onLine(line, client), onFrame(frame, client)   the wire, for the curious;
 *       lines and comments only with fetch
 *   onFault(error, where)  a handler threw
 *
 * A page with several streams keeps them in a Streams (weir-streams.js): one
 * client for a key, however often it is opened.
 */

import { Line, Timers, surroundings } from './weir-line.js';
import { Decoder } from './weir-transport.js';

export { Decoder };

const DEFAULTS = {
  prefix: 'weir.',
  types: [],
  from: 'start',
  credentials: 'same-origin',
  deadMs: 30000,
  lateMs: 35000,
  maxFailures: 5,
  retryMs: 1000,
  backoffMs: 30000,
};

/* Ends of asking, not of the stream: it may be there when somebody asks again. */
const PASSING_ENDS = ['refused', 'gave_up'];

/* Verdicts after which the old content still stands. */
const KEEPS = ['evicted', 'rewound'];

const OWN_FRAMES = {
  ready: '_ready',
  gap: '_gap',
  done: '_done',
  failed: '_failed',
  closing: '_closing',
  ping: '_ping',
};

/** `<epoch>-<seq>`, or plain decimal: { epoch, seq }, or null. Numbers count on
 * over the epochs of one generation, so there seq alone orders events. */
export function parseCursor(text) {
  const match = /^(?:([a-z2-7]{1,13})-)?(0|[1-9][0-9]{0,15})$/.exec(text);
  const seq = match ? Number(match[2]) : NaN;

  return Number.isSafeInteger(seq) ? { epoch: match[1] || '', seq } : null;
}

function parseObject(text) {
  try {
    const value = JSON.parse(text);

    return value !== null && typeof value === 'object' ? value : null;
  } catch (error) {
    return null;
  }
}

/** One reader of one stream. connect() makes one and starts it. */
export class Client {
  constructor(options) {
    const saved = options.snapshot || {};

    this.options = Object.assign({}, DEFAULTS, options);
    this.env = Object.assign(surroundings(), options.env);
    this.stream = options.stream || saved.stream || '';
    this.generation = saved.generation || '';
    this.cursor = saved.cursor || '';
    this.content = 'content' in saved ? saved.content : this._initial();
    this.end = saved.end || null;
    this.status = this.end ? 'ended' : 'idle';
    this.verdict = '';
    this.eventAt = 0; /* an event of the application */
    this.counts = {
      attempts: 0,
      connections: 0,
      events: 0,
      signals: 0,
      beats: 0,
      duplicates: 0,
      foreign: 0,
      holes: 0,
      gaps: 0,
      bytes: 0,
    };
    this._line = new Line(this._owner());
    this._timers = new Timers(this.env);
    this._awaits = this.cursor === ''; /* the first event of its generation */
    this._dirty = false;
  }

  /** Connections in a row that brought no event. */
  get failures() {
    return this._line.failures;
  }

  /** What the server says that one should wait; ms. */
  get retry() {
    return this._line.retry;
  }

  /** When anything was heard last, by env.now(). */
  get heardAt() {
    return this._line.heardAt;
  }

  /** When it will ask again; 0 if it does not wait, or the browser decides. */
  get returnAt() {
    return this._line.returnAt;
  }

  /** Begin. Whatever is called how often, there is never a second request. */
  connect() {
    if (this.status === 'idle') {
      this._line.dial();
    }
    return this;
  }

  /** Replace handlers (or other options) from now on; null takes one away. */
  on(handlers) {
    Object.assign(this.options, handlers);
    return this;
  }

  /** Hang up and keep everything, until resume(). */
  pause() {
    if (this.status !== 'ended' && this.status !== 'closed') {
      this._awaits = this._awaits || this._timers.has('late');
      this._timers.stop('late');
      this._line.hangUp();
      this._set('paused');
    }
  }

  /** A person asks: try now, with a clean slate. What has ended stays ended;
   * what was refused or given up is tried again. */
  resume() {
    if (this.status === 'ended' && passes(this.end)) {
      this.end = null;
      this.status = 'idle';
    }
    if (['idle', 'waiting', 'paused'].includes(this.status)) {
      this._line.failures = 0;
      this._line.dial();
    }
  }

  /** For good: nothing is left running, and no handler is called any more. */
  close() {
    this._line.retire();
    this._timers.stopAll();
    this._dirty = false;
    this.status = 'closed';
  }

  /** Content and cursor, which belong together, and the end of the stream if it
   * has one. Store or copy it at once. */
  snapshot() {
    return {
      stream: this.stream,
      generation: this.generation,
      cursor: this.cursor,
      content: this.content,
      end: passes(this.end) ? null : this.end,
    };
  }

  /** Deliver what `schedule` holds back. */
  flush() {
    if (this._dirty) {
      this._dirty = false;
      this._call('onChange', this);
    }
  }

  /* What the connection needs of this client, and tells it. */
  _owner() {
    const client = this;

    return {
      options: this.options,
      env: this.env,
      counts: this.counts,
      get cursor() {
        return client.cursor;
      },
      types: () => this._types(),
      isWaiting: () => this.status === 'waiting',
      status: (status) => this._set(status),
      wait: (about) => this._call('onWait', about),
      wire: (line) => this._call('onLine', line, this),
      comment: () => this._beat('comment'),
      frame: (link, frame) => this._frame(link, frame),
      finish: (end) => this._finish(end),
    };
  }

  _types() {
    const own = Object.keys(OWN_FRAMES).map(
      (name) => this.options.prefix + name
    );

    return Array.from(new Set(own.concat('message', this.options.types)));
  }

  /* -- what a connection brings -- */

  _frame(link, frame) {
    const prefix = this.options.prefix;
    const own = frame.type.startsWith(prefix)
      ? OWN_FRAMES[frame.type.slice(prefix.length)]
      : undefined;

    this._call('onFrame', frame, this);
    if (this._gone(link)) {
      return;
    }
    if (own === undefined) {
      this._content(link, frame);
    } else {
      this._own(link, frame, own);
    }
  }

  _own(link, frame, method) {
    const body = parseObject(frame.data);

    if (!body || !this._isOurs(link, body)) {
      this._drop('foreign', frame);
    } else {
      this[method](link, frame, body);
    }
  }

  /* Of this stream, and of the generation that this connection reads, once that
   * is known. */
  _isOurs(link, body) {
    if (this.stream && body.stream !== this.stream) {
      return false;
    }
    return link.generation === '' || body.generation === link.generation;
  }

  _ready(link, frame, body) {
    if (link.readyAt !== 0) {
      return;
    }
    if (this.generation && this.generation !== body.generation) {
      /* Another run under this key, whose numbers say nothing about ours: a
       * plain decimal cursor cannot tell the server. */
      this._startOver();
      return;
    }
    this._identify(link, body);
    this._line.ready(link);
    this.verdict = body.verdict;
    if (this.cursor === '') {
      this.cursor = frame.id;
    }
    this._expectFirst();
    this._set('live');
    if (!this._gone(link)) {
      this._call('onReady', this._about(link, frame, body));
    }
  }

  _identify(link, body) {
    link.generation = body.generation;
    this.generation = body.generation;
    this.stream = this.stream || body.stream;
  }

  _about(link, frame, body) {
    return Object.assign({}, body, {
      id: frame.id,
      connection: link.number,
    });
  }

  _gap(link, frame, body) {
    const gap = Object.assign(this._about(link, frame, body), {
      from: this.cursor,
    });
    let content;

    if (gap.verdict === 'rewound' && !this.options.onGap) {
      this._startOver();
      return;
    }
    this.flush();
    if (this._gone(link)) {
      return;
    }
    content = KEEPS.includes(gap.verdict) ? this.content : this._initial();
    if (this.options.onGap) {
      try {
        content = keep(this.options.onGap(gap, content), content);
      } catch (error) {
        this._stumble(link, error, 'onGap');
        return;
      }
    }
    this.counts.gaps += 1;
    this._identify(link, body);
    this._awaits = !KEEPS.includes(gap.verdict);
    this._commit(content, frame.id);
    this._changed();
  }

  /* An event or a signal of the application. */
  _content(link, frame) {
    const body = this.options.envelope ? parseObject(frame.data) : null;

    if (link.generation === '') {
      this._drop('foreign', frame); /* nothing has said whose this is */
    } else if (this.options.envelope && (!body || !this._isOurs(link, body))) {
      this._drop('foreign', frame);
    } else if (!frame.own) {
      this.counts.signals += 1;
      this._call('onSignal', {
        type: frame.type,
        data: body ? body.data : frame.data,
        connection: link.number,
      });
    } else if (this._isNext(link, frame)) {
      this._event(link, frame, body ? body.data : frame.data);
    }
  }

  /* Numbers are dense: what is not above the cursor has been applied, and what
   * leaves a hole is not applied but asked for again. */
  _isNext(link, frame) {
    const at = parseCursor(frame.id);
    const last = parseCursor(this.cursor);

    if (!at || !last) {
      return frame.id !== this.cursor || this._repeat(frame);
    }
    if (at.seq <= last.seq) {
      return this._repeat(frame);
    }
    if (at.seq > last.seq + 1 && this._isDense()) {
      this.counts.holes += 1;
      this._line.lose(link, 'hole');
      return false;
    }
    return true;
  }

  _isDense() {
    return this.options.dense === undefined
      ? this._line.hearsAll()
      : this.options.dense;
  }

  _repeat(frame) {
    this._drop('duplicate', frame);
    return false;
  }

  _event(link, frame, data) {
    const at = parseCursor(frame.id) || { epoch: '', seq: 0 };
    const event = {
      id: frame.id,
      seq: at.seq,
      epoch: at.epoch,
      type: frame.type,
      data,
      stream: this.stream,
      generation: this.generation,
      connection: link.number,
    };
    let content = this.content;

    try {
      if (this.options.apply) {
        content = keep(this.options.apply(content, event), content);
      }
    } catch (error) {
      this._stumble(link, error, 'apply');
      return;
    }
    this._commit(content, frame.id);
    this._progress(link);
    this._changed();
  }

  /* The only place where content and cursor change, together. */
  _commit(content, id) {
    this.content = content;
    this.cursor = id;
  }

  _progress(link) {
    this._line.progress(link);
    this.counts.events += 1;
    this.eventAt = this.env.now();
    this._awaits = false;
    this._timers.stop('late');
  }

  /* A handler threw: the event is not applied, so it is asked for again. One
   * that always throws brings no event, so that comes to an end. */
  _stumble(link, error, where) {
    this._fault(error, where);
    if (!this._gone(link)) {
      this._line.lose(link, where);
    }
  }

  _startOver() {
    this._commit(this._initial(), '');
    this.generation = '';
    this._awaits = true;
    this._line.dial();
  }

  _done(link, frame, body) {
    this._over(link, frame, { kind: 'done', reason: body.reason });
  }

  /* Without an id it is a failure that could not be logged; it is no less
   * final. */
  _failed(link, frame, body) {
    this._over(link, frame, {
      kind: 'failed',
      code: body.code,
      message: body.message,
    });
  }

  _over(link, frame, end) {
    if (frame.own && !this._isNext(link, frame)) {
      return; /* something is missing before it */
    }
    if (frame.own) {
      this._commit(this.content, frame.id);
    }
    this._finish(end);
  }

  _closing(link, frame, body) {
    this._line.closing(link, String(body.reason));
    this._call('onClosing', { reason: link.closing, connection: link.number });
  }

  _ping() {
    this._beat('ping');
  }

  _beat(kind) {
    this.counts.beats += 1;
    this._call('onBeat', kind);
  }

  /* Once per generation, and it goes on over reconnections: so does the wait
   * of whoever looks at the page. */
  _expectFirst() {
    if (this.options.lateMs && this._awaits) {
      this._awaits = false;
      this._timers.start('late', this.options.lateMs, () =>
        this._call('onLate')
      );
    }
  }

  /* -- ends -- */

  _finish(end) {
    this.end = end;
    this._dirty = true; /* what `schedule` holds back, and the end itself */
    this._line.retire();
    this._timers.stopAll();
    this.flush();
    if (this._set('ended')) {
      this._call('onEnd', end);
    }
  }

  /* -- small things -- */

  /* Handlers may do anything, also close this client. */
  _gone(link) {
    return !this._line.isOn(link);
  }

  _initial() {
    const content = this.options.content;

    return typeof content === 'function' ? content() : content;
  }

  _drop(kind, frame) {
    this.counts[kind === 'foreign' ? 'foreign' : 'duplicates'] += 1;
    this._call('onDrop', kind, frame);
  }

  _changed() {
    if (this._dirty) {
      return;
    }
    this._dirty = true;
    if (this.options.schedule) {
      this.options.schedule(() => this.flush());
    } else {
      this.flush();
    }
  }

  /* True if the status is still this one after everybody has been told. */
  _set(status) {
    if (this.status !== status && this.status !== 'closed') {
      this.status = status;
      this._call('onStatus', status, this);
    }
    return this.status === status;
  }

  _call(name, first, second) {
    const handler = this.options[name];

    if (typeof handler === 'function' && this.status !== 'closed') {
      try {
        handler(first, second);
      } catch (error) {
        this._fault(error, name);
      }
    }
  }

  _fault(error, where) {
    if (typeof this.options.onFault === 'function') {
      this.options.onFault(error, where);
    } else {
      console.error(`weir-client: ${where} threw`, error);
    }
  }
}

function passes(end) {
  return end !== null && PASSING_ENDS.includes(end.kind);
}

function keep(answer, content) {
  return answer === undefined ? content : answer;
}

/** Make a client and start it. */
export function connect(options) {
  return new Client(options).connect();
}
