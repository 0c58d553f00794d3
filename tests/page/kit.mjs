/* What the tests of the page share. SPDX-License-Identifier: MIT
 *
 * A clock that moves when told, a network that a test plays by hand, an
 * EventSource that behaves like a browser's on that network, and the frames
 * that weir writes. */

import { Client } from '../../examples/server/page/weir-client.js';
import { Decoder } from '../../examples/server/page/weir-transport.js';

/** Let promises come to rest. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class Clock {
  constructor() {
    this.time = 1000;
    this.timers = new Map();
    this.names = 0;
  }

  get pending() {
    return this.timers.size;
  }

  setTimeout(then, ms) {
    this.names += 1;
    this.timers.set(this.names, { at: this.time + ms, then });
    return this.names;
  }

  clearTimeout(name) {
    this.timers.delete(name);
  }

  /* The next timer that is due by `until`, oldest first among equals. */
  due(until) {
    let next = null;

    for (const [name, timer] of this.timers) {
      if (timer.at <= until && (next === null || timer.at < next.at)) {
        next = { name, at: timer.at, then: timer.then };
      }
    }
    return next;
  }

  async pass(ms) {
    const until = this.time + ms;

    for (let next = this.due(until); next; next = this.due(until)) {
      this.timers.delete(next.name);
      this.time = Math.max(this.time, next.at);
      next.then();
      await settle();
    }
    this.time = until;
    await settle();
  }
}

/** One request, as the server sees it. The test plays the server. */
class Request {
  constructor(url, headers, hooks) {
    this.url = url;
    this.headers = headers;
    this.hooks = hooks;
    this.state = 'asked';
    this.abandoned = false; /* by the client */
  }

  get cursor() {
    return this.headers['Last-Event-ID'];
  }

  get query() {
    return new URL(this.url, 'http://test').searchParams;
  }

  async accept(text) {
    this.state = 'open';
    this.hooks.head(200, 'text/event-stream; charset=utf-8');
    await settle();
    return text === undefined ? undefined : this.send(text);
  }

  async refuse(status, type) {
    this.state = 'closed';
    this.hooks.head(status, type || 'text/plain');
    await settle();
  }

  async send(text) {
    this.hooks.bytes(new TextEncoder().encode(text));
    await settle();
  }

  /* An orderly end, and one that is not. */
  async finish() {
    this.state = 'closed';
    this.hooks.end(null);
    await settle();
  }

  async cut() {
    this.state = 'closed';
    this.hooks.end(new TypeError('network error'));
    await settle();
  }

  abandon() {
    this.abandoned = true;
    this.state = 'closed';
  }
}

export class Network {
  constructor(clock) {
    this.clock = clock;
    this.requests = [];
    this.mostOpen = 0;
    const network = this;

    this.EventSource = class extends FakeEventSource {
      constructor(url) {
        super(network, url);
      }
    };
  }

  get last() {
    return this.requests[this.requests.length - 1];
  }

  get open() {
    return this.requests.filter((one) => one.state !== 'closed').length;
  }

  ask(url, headers, hooks) {
    const request = new Request(url, headers, hooks);

    this.requests.push(request);
    this.mostOpen = Math.max(this.mostOpen, this.open);
    return request;
  }

  fetch(url, options) {
    return new Promise((resolve, reject) => {
      const body = new Body();
      const request = this.ask(url, options.headers, {
        head: (status, type) =>
          resolve({ status, headers: new Headers({ 'Content-Type': type }), body }),
        bytes: (bytes) => body.push({ value: bytes, done: false }),
        end(error) {
          reject(error || new Error('ended before the head'));
          body.push(error || { done: true });
        },
      });

      options.signal.addEventListener('abort', () => {
        request.abandon();
        reject(new DOMException('aborted', 'AbortError'));
        body.push(new DOMException('aborted', 'AbortError'));
      });
    });
  }
}

/* The body of a response: pieces that wait for a reader, or the reverse. */
class Body {
  constructor() {
    this.pieces = [];
    this.waiting = null;
  }

  push(piece) {
    this.pieces.push(piece);
    this.hand();
  }

  hand() {
    if (this.waiting && this.pieces.length) {
      const { resolve, reject } = this.waiting;
      const piece = this.pieces.shift();

      this.waiting = null;
      (piece instanceof Error ? reject : resolve)(piece);
    }
  }

  getReader() {
    return {
      read: () =>
        new Promise((resolve, reject) => {
          this.waiting = { resolve, reject };
          this.hand();
        }),
    };
  }
}

/** As browsers do it: comes back after `retry`, with the header; any status but
 * 200 closes it for good. */
class FakeEventSource {
  constructor(network, url) {
    this.network = network;
    this.url = url;
    this.readyState = 0;
    this.listeners = new Map();
    this.lastId = '';
    this.retry = 3000;
    this.connect();
  }

  addEventListener(type, listener) {
    this.listeners.set(type, (this.listeners.get(type) || []).concat(listener));
  }

  dispatch(type, event) {
    if (this.readyState !== 2 || type === 'error') {
      (this.listeners.get(type) || []).forEach((listener) => listener(event));
    }
  }

  connect() {
    const headers = this.lastId ? { 'Last-Event-ID': this.lastId } : {};
    const decoder = new Decoder(
      {
        frame: (frame) => this.hear(frame),
        retry: (ms) => (this.retry = ms),
      },
      this.lastId
    );

    this.timer = null;
    this.request = this.network.ask(this.url, headers, {
      head: (status) => this.head(status),
      bytes: (bytes) => decoder.push(bytes),
      end: () => this.lose(),
    });
  }

  head(status) {
    if (status === 200) {
      this.readyState = 1;
      this.dispatch('open', { type: 'open' });
    } else {
      this.readyState = 2;
      this.dispatch('error', { type: 'error' });
    }
  }

  hear(frame) {
    if (this.readyState === 1) {
      this.lastId = frame.id;
      this.dispatch(frame.type, {
        type: frame.type,
        data: frame.data,
        lastEventId: frame.id,
      });
    }
  }

  lose() {
    if (this.readyState !== 2) {
      this.readyState = 0;
      this.timer = this.network.clock.setTimeout(
        () => this.connect(),
        this.retry
      );
      this.dispatch('error', { type: 'error' });
    }
  }

  close() {
    this.readyState = 2;
    this.network.clock.clearTimeout(this.timer);
    this.request.abandon();
  }
}

/** Where `online` is heard. */
export class Window {
  constructor() {
    this.listeners = new Set();
  }

  addEventListener(type, listener) {
    this.listeners.add(listener);
  }

  removeEventListener(type, listener) {
    this.listeners.delete(listener);
  }

  comeOnline() {
    this.listeners.forEach((listener) => listener());
  }
}

/** A world, and a client in it whose handlers write down what they hear. */
export class World {
  constructor() {
    this.clock = new Clock();
    this.network = new Network(this.clock);
    this.window = new Window();
    this.chance = 0;
    this.isOnline = true;
    this.heard = [];
    this.env = {
      fetch: (url, options) => this.network.fetch(url, options),
      EventSource: this.network.EventSource,
      AbortController,
      setTimeout: (then, ms) => this.clock.setTimeout(then, ms),
      clearTimeout: (name) => this.clock.clearTimeout(name),
      now: () => this.clock.time,
      random: () => this.chance,
      network: this.window,
      online: () => this.isOnline,
    };
  }

  get server() {
    return this.network.last;
  }

  options(more) {
    const note = (name) => (value) => this.heard.push([name, value]);

    return Object.assign(
      {
        url: '/streams/s',
        types: ['token', 'status'],
        content: '',
        apply: (content, event) => content + event.data,
        onStatus: note('status'),
        onReady: note('ready'),
        onSignal: note('signal'),
        onBeat: note('beat'),
        onWait: note('wait'),
        onClosing: note('closing'),
        onLate: note('late'),
        onEnd: note('end'),
        onDrop: note('drop'),
        onFault: note('fault'),
        env: this.env,
      },
      more
    );
  }

  client(more) {
    return new Client(this.options(more));
  }

  all(name) {
    return this.heard.filter((one) => one[0] === name).map((one) => one[1]);
  }
}

/* ---- frames ---- */

function frame(lines, body) {
  const data = typeof body === 'string' ? body : JSON.stringify(body);

  return `${lines.join('\n')}\n${data
    .split('\n')
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}

const identity = { stream: 's', generation: 'abc' };

export const id = (seq) => `abc-${seq}`;

export const ready = (seq, verdict, more) =>
  frame(
    [`id: ${id(seq)}`, 'event: weir.ready', 'retry: 1000'],
    { ...identity, verdict: verdict || 'fresh', ...more }
  );

export const gap = (at, body) =>
  frame([`id: ${at}`, 'event: weir.gap', 'retry: 1000'], {
    ...identity,
    ...body,
  });

export const token = (seq, data) =>
  frame([`id: ${id(seq)}`, 'event: token'], data);

export const tokens = (from, to) => {
  let text = '';

  for (let seq = from; seq <= to; ++seq) {
    text += token(seq, ` ${seq}`);
  }
  return text;
};

export const signal = (data) => frame(['event: status'], data);

export const done = (seq, reason) =>
  frame([`id: ${id(seq)}`, 'event: weir.done'], {
    ...identity,
    reason: reason || 'complete',
  });

export const failed = (seq, code, message) =>
  frame([`id: ${id(seq)}`, 'event: weir.failed'], {
    ...identity,
    code,
    message,
  });

export const closing = (reason, retry) =>
  frame(['event: weir.closing'].concat(retry ? [`retry: ${retry}`] : []), {
    ...identity,
    reason,
  });

export const ping = () => frame(['event: weir.ping'], identity);

/** What `tokens(from, to)` amounts to. */
export const text = (from, to) => {
  let all = '';

  for (let seq = from; seq <= to; ++seq) {
    all += ` ${seq}`;
  }
  return all;
};

export const both = ['fetch', 'eventsource'];
