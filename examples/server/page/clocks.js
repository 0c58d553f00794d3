/*
 * clocks.js: what goes by the clock. SPDX-License-Identifier: MIT
 */

import { sayStalled } from './story.js';

/* The server's default, and the client's. */
const HEARTBEAT = 12000;
const DEAD = 30000;

const NOTHING = '\u2013';
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/* A heartbeat comes when nothing else has come for a while. */
function sayDue(quiet, justNow) {
  return justNow
    ? 'just now'
    : `due in ${seconds(Math.max(0, HEARTBEAT - quiet))}`;
}

function sayIdle(since, limit) {
  return limit ? `${seconds(since)} of ${limit / 1000} s` : seconds(since);
}

function sayRetry(client, transport, now) {
  if (client && client.status === 'waiting' && client.returnAt) {
    return `asks in ${seconds(Math.max(0, client.returnAt - now))}`;
  }
  if (transport === 'eventsource') {
    return 'the browser keeps it';
  }
  return client && client.counts.connections ? seconds(client.retry) : NOTHING;
}

export class Clocks {
  constructor(app) {
    this.app = app;
    this.warned = 0; /* about the silence that began then */
  }

  draw(now) {
    const { client, view, wait, transport } = this.app;
    const left = client && client.returnAt ? client.returnAt - now : 0;

    if (client && client.status === 'live') {
      this.drawLive(now, client);
    } else {
      ['beat', 'heard', 'idle'].forEach((name) => view.clock(name, NOTHING, 0));
    }
    view.clock('retry', sayRetry(client, transport, now), wait && left / wait.delay);
  }

  drawLive(now, client) {
    const { view, idle, beatAt } = this.app;
    const quiet = now - client.heardAt;
    const began = client.eventAt || this.app.story.link.since;
    const since = now - began;

    view.clock('beat', sayDue(quiet, beatAt && now - beatAt < 2000), quiet / HEARTBEAT);
    view.clock('heard', seconds(quiet), quiet / DEAD);
    view.clock('idle', sayIdle(since, idle), idle ? since / idle : 0);
    if (idle && since > idle / 3 && this.warned !== began) {
      this.warned = began;
      this.app.say(sayStalled(idle));
    }
  }
}
