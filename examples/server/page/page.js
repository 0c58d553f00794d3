/*
 * page.js: the page of the reference server. SPDX-License-Identifier: MIT
 *
 * IN THE URL
 *   stream=KEY     the answer; without it a new name is made up
 *   client=K       this tab's name among the readers
 *   transport=     fetch or eventsource
 *   autostart=1    start the answer if there is none. One that has ended is not
 *                  started again, on a reload neither
 *   script=        answer, fail, stall: what autostart starts
 *   interval=MS    between two tokens
 *   cut=20,60      cut this tab's own connection after these events
 *   report=KEY     at the end, publish the transcript to that stream, as an
 *                  event of type `transcript`
 *
 * FOR A DRIVER
 *   <html data-status data-end>   the client's status, and the kind of its end
 *   data-test="..."  text, status, sentence, cursor, signal, river, events,
 *                    live, replayed, duplicates, gaps, signals, beats,
 *                    connections, failures, readers, beat, heard, idle, retry,
 *                    connection-list, event-list, wire, wire-hint, wire-hold,
 *                    speed, stream, client
 *   data-act="..."   start, cut, offline, tab, twin, replace, fail, stall,
 *                    return, reload, next, hold
 *   window.weirPage.transcript()  all of it as one object
 */

import { Acts } from './acts.js';
import { Clocks } from './clocks.js';
import {
  Story,
  ending,
  sayConnected,
  sayEnd,
  sayReplayed,
  sayRestored,
  sayWaiting,
  seqOf,
} from './story.js';
import { View } from './view.js';
import { Client } from './weir-client.js';
import { Wire } from './wire.js';

/* What a request may take, in ms. On a line that is dead but still open one
 * would wait for ever, and a browser has six lines to a server at most. */
const PATIENCE = 5000;

const params = new URLSearchParams(location.search);

const now = () => performance.now();
const spot = (name) => document.querySelector(`[data-test="${name}"]`);

/* Five letters nobody will confuse. */
function draw(prefix) {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  const bytes = crypto.getRandomValues(new Uint8Array(5));

  return prefix + Array.from(bytes, (byte) => letters[byte % 31]).join('');
}

/* The tab's own storage: another tab has another name and its own snapshot. */
const store = {
  get(name) {
    try {
      return sessionStorage.getItem(name);
    } catch (error) {
      return null;
    }
  },
  set(name, text) {
    try {
      sessionStorage.setItem(name, text);
    } catch (error) {
      /* full, or forbidden: a reload begins from nothing */
    }
  },
};

function nameOfTab() {
  const name = params.get('client') || store.get('weir client') || draw('tab-');

  store.set('weir client', name);
  return name;
}

class App {
  constructor() {
    this.key = params.get('stream') || draw('answer-');
    this.name = nameOfTab();
    this.transport =
      params.get('transport') === 'eventsource' ? 'eventsource' : 'fetch';
    this.cuts = (params.get('cut') || '').split(',').map(Number).filter(Boolean);
    this.story = new Story();
    this.view = new View(this.story);
    this.wire = new Wire(spot('wire'));
    this.acts = new Acts(this);
    this.clocks = new Clocks(this);
    this.client = null;
    this.closing = '';
    this.asked = null; /* is settled once it is known what was replayed, or never will be */
    this.counting = false;
    this.wait = null;
    this.beatAt = 0;
    this.idle = 0; /* the watchdog's limit, where this tab knows it */
    this.drawing = false;
    this.saving = null;
    this.next = null;
  }

  get base() {
    return `/streams/${encodeURIComponent(this.key)}`;
  }

  /* Between two tokens. */
  get interval() {
    return params.get('interval') || spot('speed').value;
  }

  get content() {
    return this.client ? this.client.content : [];
  }

  /* Whether this tab reads an answer that has not ended. */
  get running() {
    return this.client !== null && this.client.end === null;
  }

  /* -- reading -- */

  /** Read, from a snapshot or from nothing. */
  begin(snapshot) {
    if (this.client) {
      this.client.close();
      this.story.lose(now(), 'this page hung up');
    }
    this.closing = '';
    this.client = new Client(this.options(snapshot));
    this.client.connect();
    this.follow();
  }

  options(snapshot) {
    return {
      url: this.base,
      stream: this.key,
      client: this.name,
      transport: this.transport,
      types: ['token', 'status'],
      dense: true, /* every type that there is here is listened for */
      snapshot,
      content: () => [],
      apply: (parts, event) => this.apply(parts, event),
      onGap: (gap, parts) => this.gap(gap, parts),
      onChange: () => this.changed(),
      onStatus: (status) => this.status(status),
      onReady: (ready) => this.ready(ready),
      onSignal: (signal) => this.signal(signal),
      onBeat: () => this.beat(),
      onWait: (wait) => this.waits(wait),
      onClosing: (closing) => (this.closing = closing.reason),
      onLate: () => this.say('Connected, but no word for 35 s. A page can show something else now.'),
      onEnd: (end) => this.ended(end),
      onDrop: (kind) => (this.story.duplicates += kind === 'duplicate' ? 1 : 0),
      onLine: (line) => this.wire.line(line),
      onFrame: (frame) => this.shows(frame),
    };
  }

  apply(parts, event) {
    parts.push({
      seq: event.seq,
      id: event.id,
      text: event.data,
      link: this.story.link.number,
    });
    this.story.add(event, now());
    if (this.cuts.length !== 0 && event.seq >= this.cuts[0]) {
      this.cuts.shift();
      this.acts.cut();
    }
    return parts;
  }

  gap(gap, parts) {
    this.story.gap(gap);
    this.story.version += 1; /* what is shown changes before its end */
    if (gap.verdict === 'rewound') {
      return parts.filter((part) => part.seq < gap.first);
    }
    if (gap.verdict === 'evicted') {
      const hole = [seqOf(gap.from) + 1, gap.first - 1];

      return parts.concat({ hole, seq: hole[1], link: this.story.link.number });
    }
    return parts;
  }

  status(status) {
    if (status === 'connecting') {
      this.story.ask(now(), this.client.cursor);
      this.wire.note('out', this.sayRequest());
    } else if (status === 'paused') {
      this.story.lose(now(), 'this page hung up');
      this.wire.note('cut', 'this page hung up');
      this.view.signal('');
      this.say('Offline. The answer goes on without this page. Come back when you like.');
    }
    this.follow();
  }

  sayRequest() {
    const cursor = this.client.cursor;

    return `GET ${this.base}?client=${this.name}${cursor ? `\nLast-Event-ID: ${cursor}` : ''}`;
  }

  ready(ready) {
    const link = this.story.link;

    this.closing = '';
    this.story.accept(ready, now());
    this.markLateStart(link);
    this.say(sayConnected(link));
    this.changed();
    this.asked = this.askHead(link);
  }

  /* How far the server was when a connection began. It is connected without. */
  async askHead(link) {
    const info = await this.askInfo();

    if (!info) {
      return;
    }
    this.story.knowHead(link, info.last);
    this.changed();
    if (link === this.story.link && this.client.status === 'live') {
      this.readers(info);
      this.say(sayReplayed(link));
    }
  }

  /* Who comes late to a long answer may find its beginning gone. */
  markLateStart(link) {
    const parts = this.content;

    if (parts.length === 0 && link.first > 1) {
      parts.push({ hole: [1, link.first - 1], seq: link.first - 1, link: link.number });
    }
  }

  signal(signal) {
    this.story.signal(signal);
    try {
      this.view.signal(JSON.parse(signal.data).state);
    } catch (error) {
      this.view.signal(signal.data);
    }
    this.changed();
  }

  beat() {
    this.beatAt = now();
    this.story.beats += 1;
    this.changed();
  }

  shows(frame) {
    if (this.transport === 'eventsource') {
      this.wire.frame(frame);
    }
    this.changed();
  }

  waits(wait) {
    const how = ending(wait.cause, this.closing);

    this.wait = wait;
    this.view.signal('');
    this.story.lose(now(), how);
    this.wire.note('cut', how);
    this.say(sayWaiting(wait, this.client.cursor, this.closing));
    this.follow();
    this.changed();
  }

  ended(end) {
    const link = this.story.link;

    if (end.kind === 'finished' || end.kind === 'refused') {
      link.verdict = end.kind === 'finished' ? 'finished' : `status ${end.status}`;
      this.wire.note('in', `HTTP ${end.status}`);
    } else if (end.kind !== 'gave_up') {
      this.story.finish(`weir.${end.kind}`, this.client.cursor, end.reason || end.code);
    }
    this.story.lose(now(), sayShort(end));
    this.view.signal('');
    this.readers(null);
    this.say(sayEnd(end));
    this.follow();
    this.changed();
    this.save();
    this.report(end);
  }

  /** Read an answer from its beginning. */
  fresh() {
    this.story.forget();
    this.remember();
    this.begin(null);
  }

  /* A reload comes back to this answer, and starts none. */
  remember() {
    const query = new URLSearchParams({ stream: this.key });

    if (this.transport !== 'fetch') {
      query.set('transport', this.transport);
    }
    history.replaceState(null, '', `/?${query}`);
  }

  switchTo(transport) {
    this.transport = transport;
    spot('wire-hint').textContent =
      transport === 'fetch'
        ? 'The lines as they came, comments included.'
        : 'What the browser shows of it. Comments and retry stay hidden.';
    if (this.client) {
      this.remember();
      this.begin(this.client.snapshot());
    }
  }

  /* -- the server -- */

  /** An answer in JSON, or null and a word about why not. */
  async ask(method, url, body) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), PATIENCE);

    try {
      const response = await fetch(url, {
        method,
        body,
        cache: 'no-store',
        signal: limit.signal,
      });
      const reply = await response.json();

      if (response.ok) {
        return reply;
      }
      if (method !== 'GET') {
        this.say(`The server would not: ${reply.message} (${response.status}).`);
      }
    } catch (error) {
      if (method !== 'GET') {
        this.say('The server does not answer.');
      }
    } finally {
      clearTimeout(timer);
    }
    return null;
  }

  askInfo() {
    return this.ask('GET', `${this.base}/info`);
  }

  readers(info) {
    spot('readers').textContent = info ? String(info.subscribers) : '\u2013';
  }

  /* -- keeping -- */

  save() {
    clearTimeout(this.saving);
    this.saving = null;
    if (this.client && this.client.generation) {
      store.set(`weir ${this.key}`, JSON.stringify(this.client.snapshot()));
    }
  }

  restore() {
    const snapshot = JSON.parse(store.get(`weir ${this.key}`) || 'null');

    if (snapshot) {
      /* Connections of the page before have no rows here. */
      snapshot.content.forEach((part) => (part.link = 0));
    }
    return snapshot;
  }

  transcript() {
    const story = this.story;
    const client = this.client;

    return {
      stream: this.key,
      client: this.name,
      transport: this.transport,
      status: client ? client.status : 'idle',
      end: client ? client.end : null,
      cursor: client ? client.cursor : '',
      text: this.content.map((part) => part.text || '').join(''),
      numbers: this.content.filter((part) => !part.hole).map((part) => part.seq),
      events: story.events,
      live: story.live,
      replayed: story.replayed,
      duplicates: story.duplicates,
      gaps: story.gaps,
      signals: story.signals,
      beats: story.beats,
      connections: story.links.map((link) => ({
        cursor: link.cursor,
        verdict: link.verdict,
        replayed: link.replayed,
        events: link.events,
        ended: link.ended,
      })),
    };
  }

  async report(end) {
    const key = params.get('report');

    if (key && end.kind !== 'refused') {
      await this.asked; /* so that what was replayed is counted */
      this.ask(
        'POST',
        `/streams/${encodeURIComponent(key)}/events?type=transcript`,
        JSON.stringify(this.transcript())
      );
    }
  }

  /* -- showing -- */

  say(sentence) {
    this.view.say(sentence);
  }

  /* Draw once for all that comes before the next frame; save now and then. */
  changed() {
    if (!this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => this.draw());
    }
    if (this.saving === null) {
      this.saving = setTimeout(() => this.save(), 300);
    }
  }

  draw() {
    this.drawing = false;
    this.view.draw(this.content, this.client ? this.client.cursor : '');
    this.wire.draw();
    this.tick();
  }

  /* What the buttons say, and the one that fits the moment. */
  follow() {
    const client = this.client;
    const end = client ? client.end : null;
    const offline = client !== null && client.status === 'paused';

    this.view.status(client ? client.status : 'idle', end);
    this.view.label('start', this.running ? 'Stop the answer' : 'Start an answer');
    this.view.label('offline', offline ? 'Come back online' : 'Go offline');
    this.offer(client, end);
  }

  offer(client, end) {
    const replaced = end && end.reason === 'replaced_by_new_stream';

    if (!client || (end && end.kind === 'refused')) {
      this.next = () => this.acts.toggle(); /* where the big button is out of sight */
      this.view.next('Start');
    } else if (client.status === 'waiting') {
      this.next = () => client.resume();
      this.view.next('Ask now');
    } else if (end && end.kind === 'gave_up') {
      this.next = () => client.resume();
      this.view.next('Try again');
    } else if (replaced) {
      this.next = () => this.fresh();
      this.view.next('Read the new one');
    } else {
      this.view.next(null);
    }
  }

  tick() {
    const client = this.client;
    const held = this.wire.waiting;

    this.clocks.draw(now());
    spot('failures').textContent = client ? String(client.failures) : '0';
    spot('wire-hold').textContent = held ? ` (${held})` : '';
  }

  /* -- wiring -- */

  wireUp() {
    const acts = this.acts;
    const doing = {
      start: () => acts.toggle(),
      cut: () => acts.cut(),
      offline: () => acts.offline(),
      replace: () => acts.start('answer', 'replace'),
      fail: () => acts.start('fail', 'replace'),
      stall: () => acts.start('stall', 'replace'),
      return: () => acts.comeBack(),
      reload: () => acts.reload(),
      next: () => this.next && this.next(),
      hold: (button) => this.hold(button),
    };

    document.querySelectorAll('button[data-act]').forEach((button) => {
      button.addEventListener('click', () => doing[button.dataset.act](button));
    });
    document.querySelectorAll('[name="transport"]').forEach((radio) => {
      radio.checked = radio.value === this.transport;
      radio.addEventListener('change', () => this.switchTo(radio.value));
    });
    this.wireForms();
    this.link('tab', { stream: this.key });
    this.link('twin', { stream: this.key, client: this.name });
    window.addEventListener('pagehide', () => this.save());
    setInterval(() => document.hidden || this.tick(), 200);
    setInterval(() => document.hidden || this.count(), 3000);
  }

  wireForms() {
    document.querySelectorAll('form').forEach((form) => {
      form.addEventListener('submit', (event) => {
        event.preventDefault();
        if (form.dataset.form === 'cursor') {
          this.acts.forge(form.elements.forge.value);
        } else {
          this.acts.produce(event.submitter ? event.submitter.value : 'event', form.elements.words.value);
        }
      });
    });
  }

  link(act, query) {
    document.querySelector(`[data-act="${act}"]`).href = `/?${new URLSearchParams(query)}`;
  }

  hold(button) {
    const on = button.getAttribute('aria-pressed') !== 'true';

    button.setAttribute('aria-pressed', String(on));
    this.wire.hold(on);
    this.changed();
  }

  /* One question at a time: where none is answered, they do not pile up. */
  async count() {
    if (!this.counting && this.client && this.client.status === 'live') {
      this.counting = true;
      this.readers(await this.askInfo());
      this.counting = false;
    }
  }

  async run() {
    const snapshot = this.restore();

    this.wireUp();
    this.view.names(this.key, this.name);
    this.switchTo(this.transport);
    this.follow();
    if (snapshot) {
      this.begin(snapshot);
      this.say(sayRestored(snapshot.end));
      this.changed();
    } else if (params.get('autostart') === '1') {
      await this.autostart();
    } else if (params.has('stream')) {
      this.begin(null);
    }
  }

  /* Joins what runs, reads what has ended, starts what is not there. */
  async autostart() {
    if (await this.askInfo()) {
      this.begin(null);
    } else {
      await this.acts.start(params.get('script') || 'answer', 'join');
    }
  }
}

function sayShort(end) {
  const texts = {
    finished: 'told to stop',
    refused: 'refused',
    gave_up: 'given up',
  };

  return texts[end.kind] || `${end.kind}: ${end.reason || end.code}`;
}

window.weirPage = new App();
window.weirPage.run();
