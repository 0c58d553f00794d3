/*
 * weir-streams.js: the streams of a page. SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The weir authors. See LICENSE.
 */

import { Client } from './weir-client.js';
import { surroundings } from './weir-line.js';

/**
 * The streams of a page, one client for each key.
 *
 *   const streams = new Streams({
 *     url: (key) => '/streams/' + encodeURIComponent(key),
 *     content: '', apply: (content, event) => content + event.data,
 *   });
 *   const client = streams.open('answer-1', { onChange: draw });  // a view
 *   ...
 *   client.on({ onChange: null });    // out of sight: it goes on, unseen
 *   streams.release(client);          // or: this view needs it no more
 *
 * open() of a key that is there gives the same client and its handlers from now
 * on are these. A client goes `lingerMs` after its last release, so a view that
 * is taken down and put up again, or A, B, A in quick succession, costs one
 * connection. What has gone leaves its snapshot behind, from which the next
 * open() goes on. A stream that has ended is given back as it ended.
 */
export class Streams {
  constructor(options) {
    this.options = Object.assign({ lingerMs: 1000 }, options);
    this.env = Object.assign(surroundings(), this.options.env);
    this.snapshots = this.options.snapshots || new Map();
    this._entries = new Map();
  }

  get(key) {
    const entry = this._entries.get(key);

    return entry ? entry.client : null;
  }

  open(key, handlers) {
    let entry = this._entries.get(key);

    if (entry && entry.client.status === 'closed') {
      this.close(entry.client); /* by somebody who went past this registry */
      entry = null;
    }
    if (entry) {
      entry.client.on(handlers || {});
    } else {
      entry = { key, client: this._make(key, handlers), users: 0, timer: null };
      this._entries.set(key, entry);
    }
    entry.users += 1;
    this._stay(entry);
    return entry.client.connect();
  }

  /** One view less. */
  release(client) {
    const entry = this._entryOf(client);

    if (!entry) {
      return;
    }
    entry.users = Math.max(0, entry.users - 1);
    if (entry.users === 0 && entry.timer === null) {
      entry.timer = this.env.setTimeout(
        () => this.close(client),
        this.options.lingerMs
      );
    }
  }

  /** At once, whoever uses it. Its snapshot stays. A client that has been
   * succeeded under its key closes without touching the successor. */
  close(client) {
    const entry = this._entryOf(client);

    if (entry) {
      this._stay(entry);
      this._entries.delete(entry.key);
      this.snapshots.set(entry.key, client.snapshot());
    }
    client.close();
  }

  /** Close it and forget what it had: the next open() begins from nothing. */
  forget(key) {
    const client = this.get(key);

    if (client) {
      this.close(client);
    }
    this.snapshots.delete(key);
  }

  closeAll() {
    Array.from(this._entries.values()).forEach((entry) =>
      this.close(entry.client)
    );
  }

  _make(key, handlers) {
    const saved = this.snapshots.get(key);

    return new Client(
      Object.assign({}, this.options, handlers, {
        stream: key,
        url: this.options.url(key),
        snapshot: saved,
        env: this.env,
      })
    );
  }

  _stay(entry) {
    if (entry.timer !== null) {
      this.env.clearTimeout(entry.timer);
      entry.timer = null;
    }
  }

  /* By identity: of two clients of one key only the present one is found. */
  _entryOf(client) {
    const entries = Array.from(this._entries.values());

    return entries.find((entry) => entry.client === client) || null;
  }
}
