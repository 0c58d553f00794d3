/*
 * wire.js: the log of what came and went. SPDX-License-Identifier: MIT
 *
 * With fetch it shows the very lines; with EventSource only what a browser
 * hands to a page: comments and retry stay hidden.
 */

/* Blocks that are kept. */
const BLOCKS = 250;

/* Every class that a line of a frame can have. */
const FIELDS = ['id', 'event', 'data', 'retry'];

function make(name, className, text) {
  const element = document.createElement(name);

  element.className = className;
  element.textContent = text;
  return element;
}

export class Wire {
  constructor(box) {
    this.box = box;
    this.open = null; /* the block that lines are added to */
    this.held = null; /* what came while the log was paused, or null */
    this.fresh = [];
  }

  /** A request, or a remark: out, in, or cut. */
  note(kind, text) {
    this.open = null;
    this.put(make('p', `note ${kind}`, text));
  }

  line(text) {
    if (text === '') {
      this.open = null;
      return;
    }
    if (text[0] === ':') {
      this.put(make('p', 'comment', `${text}  heartbeat`));
      return;
    }
    if (this.open === null) {
      this.open = make('p', 'frame', '');
      this.put(this.open);
    }
    this.addLine(this.open, text);
  }

  addLine(block, text) {
    const colon = text.indexOf(':');
    const name = colon < 0 ? text : text.slice(0, colon);

    if (FIELDS.includes(name)) {
      block.appendChild(make('b', name, name));
      block.appendChild(document.createTextNode(`${text.slice(colon)}\n`));
    } else {
      block.appendChild(document.createTextNode(`${text}\n`));
    }
  }

  /** A frame as an EventSource shows it. */
  frame(frame) {
    const lines = [`event: ${frame.type}`].concat(
      frame.data.split('\n').map((line) => `data: ${line}`)
    );

    (frame.own ? [`id: ${frame.id}`] : []).concat(lines, '').forEach((line) =>
      this.line(line)
    );
  }

  /** Pause the log, or let it go on. Nothing is lost meanwhile, up to a limit. */
  hold(on) {
    if (on) {
      this.held = [];
    } else if (this.held !== null) {
      this.fresh = this.fresh.concat(this.held);
      this.held = null;
    }
  }

  get waiting() {
    return this.held === null ? 0 : this.held.length;
  }

  put(block) {
    const list = this.held === null ? this.fresh : this.held;

    list.push(block);
    if (list.length > BLOCKS) {
      list.shift();
    }
  }

  /** Show what is new; stay at the end if the reader was there. */
  draw() {
    const box = this.box;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 30;

    if (this.fresh.length === 0) {
      return;
    }
    box.append(...this.fresh);
    this.fresh = [];
    while (box.childElementCount > BLOCKS) {
      box.firstElementChild.remove();
    }
    if (atEnd) {
      box.scrollTop = box.scrollHeight;
    }
  }
}
