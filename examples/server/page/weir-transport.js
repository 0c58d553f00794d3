/*
 * weir-transport.js: from a URL to frames. SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The weir authors. See LICENSE.
 *
 * The lower half of weir-client.js: a decoder of Server-Sent Events, and two
 * transports behind one interface.
 */

/**
 * A decoder of Server-Sent Events, after WHATWG HTML 9.2, for one connection.
 * push() takes bytes in pieces of any size. sink, all optional:
 * frame({ type, data, id, own }), where id is the last event ID and own says
 * that this very block brought it; retry(ms); comment(text); line(text).
 */
export class Decoder {
  constructor(sink, lastId) {
    this.sink = sink;
    this.lastId = lastId || '';
    this.utf8 = new TextDecoder('utf-8'); /* drops one BOM, never fails */
    this.idBuffer = this.lastId;
    this.partial = '';
    this.afterCr = false;
    this._clear();
  }

  push(bytes) {
    const text = this.utf8.decode(bytes, { stream: true });
    const ends = /[\r\n]/g;
    let from = this.afterCr && text[0] === '\n' ? 1 : 0;

    this.afterCr = this.afterCr && text === '';
    ends.lastIndex = from;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      const line = this.partial + text.slice(from, end.index);

      this.partial = '';
      from = end.index + 1;
      if (text[end.index] === '\r') {
        /* A CR ends its line at once; a LF after it is part of that end, also
         * when it comes in the next piece. */
        this.afterCr = from === text.length;
        from += text[from] === '\n' ? 1 : 0;
      }
      ends.lastIndex = from;
      this._line(line);
    }
    this.partial += text.slice(from);
  }

  _tell(name, value) {
    if (this.sink[name]) {
      this.sink[name](value);
    }
  }

  _line(line) {
    const colon = line.indexOf(':');

    this._tell('line', line);
    if (line === '') {
      this._dispatch();
    } else if (colon === 0) {
      this._tell('comment', line.slice(1));
    } else if (colon < 0) {
      this._field(line, '');
    } else {
      const skip = line[colon + 1] === ' ' ? 2 : 1;

      this._field(line.slice(0, colon), line.slice(colon + skip));
    }
  }

  _field(name, value) {
    if (name === 'data') {
      this.data.push(value);
    } else if (name === 'event') {
      this.type = value;
    } else if (name === 'id' && !value.includes('\0')) {
      this.idBuffer = value;
      this.own = true;
    } else if (name === 'retry' && /^[0-9]+$/.test(value)) {
      this._tell('retry', Number(value));
    }
  }

  _dispatch() {
    const frame = {
      type: this.type || 'message',
      data: this.data.join('\n'),
      id: this.idBuffer,
      own: this.own,
    };
    const real = this.data.length !== 0;

    this.lastId = this.idBuffer;
    this._clear();
    if (real) {
      this._tell('frame', frame);
    }
  }

  _clear() {
    this.data = [];
    this.type = '';
    this.own = false;
  }
}

/*
 * A transport opens one request and tells the sink: open(), heard(bytes),
 * line(text), comment(text), retry(ms), frame(frame), closed(why). why:
 * status (of the response, where it is known), error, and with EventSource
 * revives (the browser comes back by itself) and at (the cursor it will send).
 */

function addQuery(url, pairs) {
  const query = pairs
    .filter((pair) => pair[1])
    .map((pair) => `${pair[0]}=${encodeURIComponent(pair[1])}`)
    .join('&');

  if (query === '') {
    return url;
  }
  return url + (url.includes('?') ? '&' : '?') + query;
}

function ask(env, request, url, signal) {
  const headers = Object.assign(
    { Accept: 'text/event-stream' },
    request.headers
  );

  if (request.cursor) {
    headers['Last-Event-ID'] = request.cursor;
  }
  return env.fetch(url, {
    headers,
    signal,
    cache: 'no-store',
    credentials: request.credentials,
  });
}

function isEventStream(response) {
  const type = response.headers.get('Content-Type') || '';

  return /^text\/event-stream *(;|$)/i.test(type.trim());
}

async function readAll(env, request, sink, signal) {
  const url = addQuery(request.url, request.query);
  const response = await ask(env, request, url, signal);

  if (response.status !== 200 || !isEventStream(response)) {
    return { status: response.status, mistyped: response.status === 200 };
  }
  sink.open();
  const decoder = new Decoder(sink, request.cursor);
  const reader = response.body.getReader();

  for (;;) {
    const piece = await reader.read();

    if (piece.done) {
      return { status: 200 };
    }
    sink.heard(piece.value.length);
    decoder.push(piece.value);
  }
}

export function viaFetch(env, request, sink) {
  const abort = new env.AbortController();

  readAll(env, request, sink, abort.signal).then(
    (why) => sink.closed(why),
    (error) => sink.closed({ error })
  );
  return { close: () => abort.abort() };
}

/* An EventSource that closes for good does not say why: 204, 404 and a proxy's
 * 502 look the same. One fetch asks. */
function askWhy(env, request, url, signal) {
  if (!env.fetch) {
    return Promise.resolve({});
  }
  return ask(env, request, url, signal).then(
    (response) => ({ status: response.status }),
    (error) => ({ error })
  );
}

export function viaEventSource(env, request, sink) {
  const url = addQuery(
    request.url,
    request.query.concat([
      ['heartbeat', 'ping'], /* a comment is not shown to a page */
      ['lastEventId', request.cursor],
    ])
  );
  const source = new env.EventSource(url, {
    withCredentials: request.withCredentials,
  });
  const abort = new env.AbortController();
  let seen = null; /* the last event ID that was shown */

  function hear(event) {
    const id = event.lastEventId;
    const own = id !== '' && id !== seen;

    seen = id || seen;
    sink.heard(event.data.length);
    sink.frame({ type: event.type, data: event.data, id: id || '', own });
  }

  function fail(event) {
    if (typeof event.data === 'string') {
      hear(event); /* an event that a server has named `error` */
    } else if (source.readyState !== 2) {
      sink.closed({ revives: true, at: seen || request.cursor });
    } else {
      const last = Object.assign({}, request, {
        cursor: seen || request.cursor,
      });

      askWhy(env, last, url, abort.signal).then((why) => sink.closed(why));
    }
  }

  source.addEventListener('open', () => sink.open());
  source.addEventListener('error', fail);
  request.types.forEach((type) => source.addEventListener(type, hear));
  return {
    close() {
      source.close();
      abort.abort();
    },
  };
}
