/*
 * acts.js: what one can do on this page. SPDX-License-Identifier: MIT
 *
 * Each is a request to the server or a word to the client; what comes of it is
 * heard on the stream like everything else.
 */

import { seqOf } from './story.js';

/* The watchdogs that the demo's scripts set, for the clocks. */
const IDLE = { answer: 55000, fail: 55000, stall: 10000 };

export class Acts {
  constructor(app) {
    this.app = app;
  }

  get demo() {
    return `/demo/${encodeURIComponent(this.app.key)}`;
  }

  /** Have the server type an answer, and read it. */
  async start(script, duplicate) {
    const query = new URLSearchParams({
      script,
      on_duplicate: duplicate,
      interval: this.app.interval,
    });
    const reply = await this.app.ask('POST', `${this.demo}?${query}`, '');

    if (!reply) {
      return;
    }
    this.app.idle = IDLE[script];
    await this.lastWords(reply.generation);
    if (!this.app.running || this.app.client.generation !== reply.generation) {
      this.app.fresh();
    }
  }

  /* The answer that was replaced says so itself: hear it out, but not for
   * ever. */
  lastWords(generation) {
    const client = this.app.client;

    if (!client || client.status !== 'live' || client.generation === generation) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const look = setInterval(() => client.end && done(), 20);
      const limit = setTimeout(() => done(), 800);

      function done() {
        clearInterval(look);
        clearTimeout(limit);
        resolve();
      }
    });
  }

  /** The big button. */
  async toggle() {
    if (this.app.running) {
      await this.app.ask('DELETE', this.app.base);
    } else {
      await this.start('answer', 'join');
    }
  }

  /** Have the server drop this tab's connection. */
  async cut() {
    const query = new URLSearchParams({ client: this.app.name });
    const reply = await this.app.ask('POST', `${this.demo}/cut?${query}`, '');

    if (reply && reply.cut === 0) {
      this.app.say('There is no connection to cut right now.');
    }
  }

  /** Hang up, and come back. */
  offline() {
    if (!this.app.running) {
      this.app.say('Nothing is being read right now. Start an answer first.');
    } else if (this.app.client.status === 'paused') {
      this.app.client.resume();
    } else {
      this.app.client.pause();
    }
  }

  /** Ask once more for what has ended. */
  comeBack() {
    if (!this.app.client || !this.app.client.end || !this.app.client.cursor) {
      this.app.say('The answer has not ended yet. Wait for its end, or stop it.');
      return;
    }
    this.app.begin(Object.assign(this.app.client.snapshot(), { end: null }));
  }

  reload() {
    this.app.save();
    location.reload();
  }

  /** Ask with a cursor that is not this page's own. */
  forge(kind) {
    const snapshot = this.app.client ? this.app.client.snapshot() : null;

    if (!snapshot || !snapshot.cursor) {
      this.app.say('There is no cursor yet. Start an answer first.');
      return;
    }
    const epoch = snapshot.cursor.replace(/\d+$/, '');
    const seq = seqOf(snapshot.cursor);
    const back = Math.max(0, seq - 10);
    const cursors = {
      back: `${epoch}${back}`,
      ahead: `${epoch}${seq + 1000}`,
      foreign: 'weir-7',
      malformed: 'not.a.cursor',
    };

    this.app.story.version += 1;
    if (kind === 'back') {
      snapshot.content = snapshot.content.filter((part) => part.seq <= back);
    }
    this.app.begin(
      kind === 'none'
        ? null
        : Object.assign(snapshot, { cursor: cursors[kind], end: null })
    );
  }

  /** Be the producer. */
  async produce(what, words) {
    if (!this.app.running) {
      if (!(await this.app.ask('PUT', this.app.base, ''))) {
        return;
      }
      this.app.idle = 0;
      this.app.fresh();
    }
    const targets = {
      event: ['events?type=token', words],
      signal: ['signals?type=status', JSON.stringify({ state: words.trim() })],
      end: ['end?reason=complete', ''],
      fail: ['fail?code=by_hand', 'Somebody pressed Fail.'],
    };

    await this.app.ask('POST', `${this.app.base}/${targets[what][0]}`, targets[what][1]);
  }
}
