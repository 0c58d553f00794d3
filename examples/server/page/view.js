/*
 * view.js: draws what story.js holds. SPDX-License-Identifier: MIT
 *
 * Nothing here decides anything. What a driver of this page looks for carries
 * data-test, what it presses data-act; both are listed in page.js.
 */

import { shorten } from './story.js';

/* Ticks that are drawn of a long answer. */
const TICKS = 700;

/* Connections that are listed, and what one has to say. */
const LINKS = 50;
const BLANK = ['', '', '', '', '', '', ''];

const STATUSES = {
  idle: 'Not started',
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Waiting',
  paused: 'Offline',
};

const ENDS = {
  done: 'Ended',
  failed: 'Failed',
  finished: 'Ended',
  refused: 'Not there',
  gave_up: 'Given up',
};

const CAME = { live: 'live', replayed: 'replayed', kept: 'kept' };
const KINDS = { signal: 'signal', gap: 'gap', end: 'end' };

const one = (selector) => document.querySelector(selector);
const spot = (name) => one(`[data-test="${name}"]`);

function put(place, text) {
  const element = typeof place === 'string' ? spot(place) : place;

  /* A node that has not changed is not touched: a selection in it survives. */
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function make(name, className, text) {
  const element = document.createElement(name);

  element.className = className;
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

function rowOf(cells) {
  const row = document.createElement('tr');

  cells.forEach((text) => row.appendChild(make('td', '', text)));
  return row;
}

function cellsOf(link) {
  return [
    String(link.number),
    link.cursor ? shorten(link.cursor) : 'nothing',
    link.verdict || '\u2013',
    String(link.replayed),
    String(link.events - link.replayed),
    link.until ? `${((link.until - link.since) / 1000).toFixed(1)} s` : '',
    link.until ? link.ended : 'goes on',
  ];
}

/* Draw a list of which mostly only the end is new. */
class Growing {
  constructor(box, add) {
    this.box = box;
    this.add = add;
    this.version = -1;
    this.drawn = 0;
  }

  draw(items, version) {
    if (version !== this.version || items.length < this.drawn) {
      this.box.textContent = '';
      this.drawn = 0;
      this.version = version;
    }
    for (; this.drawn < items.length; ++this.drawn) {
      this.add(items[this.drawn], items[this.drawn - 1]);
    }
  }
}

export class View {
  constructor(story) {
    this.story = story;
    this.text = new Growing(spot('text'), (part) => this.addText(part));
    this.river = new Growing(spot('river'), (part, before) =>
      this.addTick(part, before)
    );
    this.events = spot('event-list').tBodies[0];
    this.links = spot('connection-list').tBodies[0];
    this.written = 0;
    this.version = -1;
  }

  /* -- text and river -- */

  addText(part) {
    const box = this.text.box;
    const came = this.story.came(part);
    const last = box.lastElementChild;

    if (part.hole) {
      box.appendChild(make('span', 'hole', sayHole(part.hole)));
    } else if (last && last.dataset.run === `${part.link} ${came}`) {
      last.firstChild.appendData(part.text);
    } else {
      const run = make('span', came);

      run.appendChild(document.createTextNode(part.text));
      run.dataset.run = `${part.link} ${came}`;
      box.appendChild(run);
    }
  }

  addTick(part, before) {
    const box = this.river.box;
    const tick = make('i', `tick ${part.hole ? 'hole' : this.story.came(part)}`);

    if (before && before.link !== part.link) {
      box.appendChild(make('i', 'tick mark'));
    }
    if (!part.hole) {
      tick.title = `${shorten(part.id)} ${JSON.stringify(part.text)}`;
      tick.style.setProperty('--h', Math.min(part.text.length, 12));
    }
    box.appendChild(tick);
    while (box.childElementCount > TICKS) {
      box.firstElementChild.remove();
    }
  }

  /* -- the bar above the text -- */

  status(status, end) {
    const pill = spot('status');
    const kind = end ? end.kind : '';

    pill.textContent = end ? ENDS[kind] : STATUSES[status];
    pill.dataset.status = end ? kind : status;
    document.documentElement.dataset.status = status;
    document.documentElement.dataset.end = kind;
    spot('river').dataset.end = kind;
    spot('text').setAttribute('aria-busy', String(status === 'live'));
  }

  say(sentence) {
    put('sentence', sentence);
  }

  /* Where it goes while it has the focus, that stays close by: the next stop
   * from there is this button again if it comes back, else the text. */
  next(label) {
    const button = one('[data-act="next"]');

    if (!label && button === document.activeElement) {
      one('#answer').focus({ preventScroll: true });
    }
    button.hidden = !label;
    button.textContent = label || '';
  }

  signal(text) {
    const chip = spot('signal');

    chip.hidden = !text;
    chip.textContent = text || '';
  }

  names(stream, client) {
    put('stream', stream);
    put('client', client);
  }

  label(act, text) {
    one(`[data-act="${act}"]`).textContent = text;
  }

  /* -- everything that follows the story -- */

  draw(parts, cursor) {
    const story = this.story;
    const follow = stay(this.text.box);

    this.text.draw(parts, story.version);
    follow();
    this.river.draw(parts, story.version);
    put('cursor', cursor ? shorten(cursor) : 'none');
    spot('cursor').title = cursor;
    spot('river').setAttribute('aria-label', sayRiver(story));
    this.drawNumbers();
    this.drawLinks();
    this.drawEvents();
  }

  drawNumbers() {
    const story = this.story;
    const names = ['events', 'live', 'replayed', 'duplicates', 'gaps', 'signals', 'beats'];

    names.forEach((name) => put(name, String(story[name])));
    put('connections', String(story.links.length));
  }

  drawLinks() {
    const links = this.story.links.slice(-LINKS);
    const follow = stay(this.links.closest('.scroll'));

    links.forEach((link, i) => {
      const row = this.links.rows[i] || this.links.appendChild(rowOf(BLANK));

      cellsOf(link).forEach((text, n) => put(row.cells[n], text));
      row.className = link.until ? '' : 'now';
      row.cells[2].dataset.verdict = link.verdict;
    });
    follow();
  }

  drawEvents() {
    const story = this.story;
    const rows = story.rows;
    const fresh =
      this.version === story.version
        ? Math.min(story.written - this.written, rows.length)
        : rows.length;
    const follow = stay(this.events.closest('.scroll'));

    if (this.version !== story.version) {
      this.events.textContent = '';
    }
    rows.slice(rows.length - fresh).forEach((row) => {
      this.events.appendChild(this.eventRow(row));
    });
    while (this.events.rows.length > rows.length) {
      this.events.deleteRow(0);
    }
    this.written = story.written;
    this.version = story.version;
    if (fresh > 0) {
      follow();
    }
  }

  eventRow(row) {
    const came = KINDS[row.kind] || CAME[this.story.came(row)];
    const line = rowOf([
      row.id ? shorten(row.id) : 'none',
      row.type,
      row.kind === 'event' ? JSON.stringify(row.data) : row.data,
      came,
    ]);

    line.className = came;
    line.cells[0].title = row.id;
    return line;
  }

  /* -- what goes by the clock -- */

  clock(name, text, part) {
    put(name, text);
    const gauge = one(`[data-gauge="${name}"]`);

    if (gauge) {
      gauge.value = Math.max(0, Math.min(part || 0, 1));
    }
  }
}

/* Whoever has scrolled up to read is left alone; the others see what is new.
 * Ask before drawing, follow after. */
function stay(box) {
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;

  return () => {
    if (atEnd) {
      box.scrollTop = box.scrollHeight;
    }
  };
}

function sayHole(hole) {
  return hole[0] === hole[1]
    ? ` [event ${hole[0]} is gone for good] `
    : ` [events ${hole[0]} to ${hole[1]} are gone for good] `;
}

function sayRiver(story) {
  return story.events === 0
    ? 'No events yet'
    : `${story.events} events: ${story.live} live, ${story.replayed} replayed, over ${story.links.length} connections`;
}
