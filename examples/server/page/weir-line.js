/*
 * weir-line.js: keeps one connection to a stream. SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The weir authors. See LICENSE.
 *
 * The middle of weir-client.js: when to ask, when to take a connection for
 * dead, when to come back, when to give up. It knows nothing of what frames
 * mean; it asks its owner for the cursor and hands every frame to it.
 */

import { viaEventSource, viaFetch } from './weir-transport.js';

/* What a client waits that was replaced and not told for how long. Coming back
 * at once would displace the successor, and so on for ever. */
const REPLACED_MS = 60000;

/* A connection that was heard from for so long had nothing wrong with it. */
const STOOD_MS = 30000;

const RETRY_LEAST = 500;
const RETRY_MOST = 86400000;

/* Refusals that pass: the stream may well be there a moment later. */
const PASSING = [408, 425, 429];

/** What a client needs of the world; tests bring another. */
export function surroundings() {
  return {
    fetch: typeof fetch === 'function' ? (u, o) => fetch(u, o) : null,
    EventSource: typeof EventSource === 'function' ? EventSource : null,
    AbortController,
    setTimeout: (f, ms) => setTimeout(f, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    now: () => performance.now(), /* never steps back */
    random: Math.random,
    /* Where `online` is heard. */
    network: typeof window === 'undefined' ? null : window,
    online: () => typeof navigator === 'undefined' || navigator.onLine !== false,
  };
}

/** Timers by name: at most one of each, and none left after stopAll(). */
export class Timers {
  constructor(env) {
    this.env = env;
    this.running = {};
  }

  has(name) {
    return name in this.running;
  }

  start(name, ms, then) {
    this.stop(name);
    this.running[name] = this.env.setTimeout(() => {
      delete this.running[name];
      then();
    }, ms);
  }

  stop(name) {
    if (this.has(name)) {
      this.env.clearTimeout(this.running[name]);
      delete this.running[name];
    }
  }

  stopAll() {
    Object.keys(this.running).forEach((name) => this.stop(name));
  }
}

/**
 * The owner has: options, env, counts, cursor, types(), isWaiting(); and hears
 * status(status), wait(about), wire(line), comment(), frame(link, frame),
 * finish(end). In each it may do anything, also hang up or dial again.
 *
 * A *channel* is a transport that was opened. A *link* is one connection on it:
 * an EventSource that comes back by itself has several. Whoever still works for
 * a link asks isOn(link) after each call to its owner.
 */
export class Line {
  constructor(owner) {
    this.owner = owner;
    this.env = owner.env;
    this.failures = 0; /* connections in a row without an event */
    this.retry = owner.options.retryMs;
    this.heardAt = 0;
    this.returnAt = 0; /* 0: not waiting, or the browser decides */
    this.channel = null;
    this.timers = new Timers(this.env);
    this.online = () => this.cameOnline();
  }

  /* -- connecting -- */

  /** Ask now. What there was before is hung up first: there is never a second
   * connection. */
  dial() {
    const channel = { handle: null, link: this.makeLink() };

    this.hangUp();
    this.channel = channel;
    this.listen();
    this.watch();
    this.owner.status('connecting');
    if (this.channel !== channel) {
      return; /* the owner has changed its mind */
    }
    try {
      channel.handle = this.open(channel);
    } catch (error) {
      this.closed(channel.link, { error });
    }
    if (this.channel !== channel && channel.handle) {
      channel.handle.close();
    }
  }

  /** Leave, and wait for nothing. */
  hangUp() {
    const channel = this.channel;

    this.channel = null;
    this.returnAt = 0;
    this.timers.stopAll();
    if (channel && channel.handle) {
      channel.handle.close();
    }
  }

  /** hangUp(), for good. */
  retire() {
    this.hangUp();
    if (this.env.network) {
      this.env.network.removeEventListener('online', this.online);
    }
  }

  isOn(link) {
    return this.channel !== null && this.channel.link === link;
  }

  /** Whether every type that the server sends is heard here. */
  hearsAll() {
    return this.transport() !== viaEventSource;
  }

  transport() {
    const wanted = this.owner.options.transport;

    if (typeof wanted === 'function') {
      return wanted;
    }
    return wanted === 'eventsource' || !this.env.fetch
      ? viaEventSource
      : viaFetch;
  }

  open(channel) {
    return this.transport()(this.env, this.request(), this.sink(channel));
  }

  makeLink() {
    this.owner.counts.attempts += 1;
    return {
      number: this.owner.counts.attempts,
      readyAt: 0,
      generation: '', /* once `ready` or `gap` has said it */
      events: 0,
      closing: '',
      told: 0, /* the `retry:` of the frame that is being read */
    };
  }

  request() {
    const options = this.owner.options;

    return {
      url: options.url,
      cursor: this.owner.cursor,
      query: [
        ['client', options.client],
        ['from', options.from === 'head' ? 'head' : ''],
      ],
      headers: options.headers,
      credentials: options.credentials,
      withCredentials: Boolean(options.withCredentials),
      types: this.owner.types(),
    };
  }

  /* What a transport may call. Of one that was hung up nothing is heard. */
  sink(channel) {
    const guard = (then) => (value) => {
      if (this.channel === channel) {
        then(channel.link, value);
      }
    };

    return {
      open: guard(() => this.opened()),
      heard: guard((link, bytes) => this.heard(bytes)),
      line: guard((link, line) => this.owner.wire(line)),
      comment: guard(() => this.owner.comment()),
      retry: guard((link, ms) => this.told(link, ms)),
      frame: guard((link, frame) => this.frame(link, frame)),
      closed: guard((link, why) => this.closed(link, why)),
    };
  }

  opened() {
    this.heardAt = this.env.now();
    this.owner.counts.connections += 1;
    this.owner.status('connecting'); /* waiting, where a browser came back */
  }

  heard(bytes) {
    this.heardAt = this.env.now();
    this.owner.counts.bytes += bytes;
  }

  told(link, ms) {
    this.retry = Math.min(Math.max(ms, RETRY_LEAST), RETRY_MOST);
    link.told = this.retry;
  }

  frame(link, frame) {
    this.owner.frame(link, frame);
    if (link.closing === '') {
      link.told = 0;
    }
  }

  /* -- what the owner found in the frames -- */

  /** The stream is there. */
  ready(link) {
    link.readyAt = this.env.now();
  }

  /** An event was applied: what failed before is forgiven. */
  progress(link) {
    link.events += 1;
    this.failures = 0;
  }

  /** The server will close, and has said in `retry:` when to come back. */
  closing(link, reason) {
    link.closing = reason;
    link.told = link.told || REPLACED_MS;
  }

  /* -- losing a connection -- */

  closed(link, why) {
    const status = why.status || 0;

    if (status === 204) {
      this.owner.finish({ kind: 'finished', status });
    } else if (why.mistyped) {
      this.owner.finish({ kind: 'refused', status });
    } else if (status >= 400 && status < 500 && !PASSING.includes(status)) {
      this.owner.finish({ kind: 'refused', status });
    } else {
      this.lose(link, status > 200 ? `status ${status}` : 'dropped', why);
    }
  }

  /** This connection is of no more use: come back, or give up. */
  lose(link, cause, why) {
    this.judge(link);
    if (this.failures >= this.owner.options.maxFailures && this.env.online()) {
      this.owner.finish({ kind: 'gave_up', failures: this.failures, cause });
    } else if (this.revives(why)) {
      this.leaveToBrowser(link, cause);
    } else {
      this.hangUp();
      this.wait(link, cause);
    }
  }

  /* A connection has failed that brought no event, unless it was asked to go or
   * was heard from for so long that the stream is merely quiet. */
  judge(link) {
    const stood =
      link.readyAt !== 0 && this.heardAt - link.readyAt >= STOOD_MS;
    const asked = link.readyAt !== 0 && link.closing !== '';

    if (stood) {
      this.failures = 0;
    } else if (link.events === 0 && !asked) {
      this.failures += 1;
    }
  }

  /* Only the browser knows the `retry:` of an EventSource, so the first return
   * is left to it, if it will ask for what this client asks for. It knows no
   * backoff, so later ones are not. */
  revives(why) {
    return (
      why !== undefined &&
      why.revives === true &&
      this.failures === 0 &&
      why.at === this.owner.cursor
    );
  }

  leaveToBrowser(link, cause) {
    this.channel.link = this.makeLink();
    if (link.closing === 'replaced') {
      this.timers.stop('watch'); /* a minute of silence is what was asked for */
    } else {
      this.watch();
    }
    this.tell(cause, 0);
  }

  wait(link, cause) {
    const delay = this.delay(link);

    this.returnAt = this.env.now() + delay;
    this.timers.start('return', delay, () => this.dial());
    this.tell(cause, delay);
  }

  tell(cause, delay) {
    const failures = this.failures;

    this.owner.status('waiting');
    this.owner.wait({ cause, delay, failures });
  }

  /* Never sooner than told; twice as long after each failure; a quarter of
   * chance on top, so that not all come back in the same moment. */
  delay(link) {
    const told = link.closing === 'replaced' ? link.told : this.retry;
    const grown = told * Math.pow(2, this.failures);
    const delay = Math.max(told, Math.min(grown, this.owner.options.backoffMs));

    return Math.round(delay * (1 + this.env.random() / 4));
  }

  listen() {
    if (this.env.network) {
      this.env.network.addEventListener('online', this.online);
    }
  }

  cameOnline() {
    if (this.owner.isWaiting()) {
      this.failures = 0;
      this.dial();
    }
  }

  /* -- silence -- */

  /* Hearing something is a store; the timer looks at it when it fires. */
  watch() {
    const dead = this.owner.options.deadMs;

    this.heardAt = this.env.now();
    if (dead) {
      this.timers.start('watch', dead, () => this.look(dead));
    }
  }

  look(dead) {
    const left = this.heardAt + dead - this.env.now();

    if (left > 0) {
      this.timers.start('watch', left, () => this.look(dead));
    } else if (this.channel) {
      this.lose(this.channel.link, 'silence');
    }
  }
}
