// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
//
// The scenario that every binding passes; see ../README.md.
'use strict';

const assert = require('node:assert').strict;
const fs = require('node:fs');
const test = require('node:test');
const koffi = require('koffi');
const weir = require('./weir.js');

/** The frames in some bytes: { id, type, data }. */
function frames(bytes) {
  return bytes.toString().split('\n\n').slice(0, -1).map((frame) => {
    const fields = { id: '', event: 'message' };
    for (const line of frame.split('\n')) {
      const [, name, value] = /^(\w+): (.*)$/.exec(line);
      fields[name] = name === 'data' && 'data' in fields
          ? fields.data + '\n' + value : value;
    }
    return { id: fields.id, type: fields.event, data: fields.data };
  });
}

const types = (bytes) => frames(bytes).map((frame) => frame.type);
const texts = (some) => some.map((frame) => frame.data);

/** The word of the interface's listing for a type. */
function word(type) {
  return type.includes('*') ? 'pointer'
      : /^(\w+?)(_t)?\b/.exec(type.trim())[1];
}

test('it agrees with the headers', () => {
  const listing = { version: {}, size: {}, field: {}, value: {}, call: {} };
  for (const line of
       fs.readFileSync(process.env.WEIR_ABI, 'ascii').trim().split('\n')) {
    const [kind, name, ...rest] = line.split(' ');
    (listing[kind][name] ??= []).push(rest);
  }
  for (const [name, struct] of Object.entries(weir.interface.structs)) {
    assert.deepEqual([[String(koffi.sizeof(struct))]], listing.size[name]);
    assert.deepEqual(
        Object.entries(koffi.type(struct).members).map(
            ([field, { offset, type }]) =>
                [field, String(offset), String(type.size),
                 word(type.name)]),
        listing.field[name]);
  }
  for (const prototype of weir.interface.prototypes) {
    const [, result, name, params] =
        /^(.*?)(\w+)\((.*)\)$/.exec(prototype);
    const words = [result, ...params.split(', ')].map(word);
    assert.deepEqual(params === 'void' ? words.slice(0, -1) : words,
                     listing.call[name][0], name);
  }
  for (const [name, value] of Object.entries(weir.interface.constants)) {
    assert.deepEqual([[String(value)]], listing.value['WEIR_' + name], name);
  }
  assert.deepEqual([weir.version()], Object.keys(listing.version));
});

function scenario(name, body) {
  test(name, () => {
    const hub = new weir.Hub({ history_events: 4 });
    try {
      body(hub);
    } finally {
      for (const handle of [...hub.handles.values()]) {
        handle.close();
      }
      hub.close();
    }
  });
}

function fails(code, call) {
  assert.throws(call, (error) => error instanceof weir.WeirError &&
                                 error.code === code && error.message !== '');
}

/** Attach a client: the response, and all that it reads. */
function attach(hub, key, options) {
  const response = hub.attach(key, options);
  return [response, response.subscriber.read()];
}

scenario('publish', (hub) => {
  const stream = hub.open('a/1');
  assert.equal(stream.publish('Hello', { type: 'token' }), 1);
  const [response, bytes] = attach(hub, 'a/1');
  assert.equal(response.status, 200);
  assert.equal(response.verdict, 'fresh');
  assert.ok(response.head.toString().startsWith('HTTP/1.1 200 OK\r\n'));
  assert.equal(Object.fromEntries(response.fields)['X-Stream-Id'], 'a/1');
  assert.deepEqual(types(bytes), ['weir.ready', 'token']);
  assert.equal(response.subscriber.read(), null);
  assert.deepEqual([...hub.notices()], []);

  const text = 'two\nlines and an \u00fcmlaut';
  assert.equal(stream.publish(text), 2);
  assert.equal(
      stream.signal('{}', { type: 'typing', flags: weir.EVENT_JSON }), 1);
  const [notice, ...more] = hub.notices();
  assert.deepEqual(more, []);
  assert.equal(notice.kind, weir.NOTICE_READABLE);
  assert.equal(notice.source, response.subscriber);
  const [event, signal] = frames(response.subscriber.read());
  assert.deepEqual([event.type, event.data], ['message', text]);
  assert.deepEqual(signal, { id: '', type: 'typing', data: '{}' });
});

scenario('the longest key', (hub) => {
  const key = '\u6f22'.repeat(85);
  hub.open(key);
  const [response] = attach(hub, key);
  const fields = Object.fromEntries(response.fields);
  assert.equal(fields['X-Stream-Id'], '%E6%BC%A2'.repeat(85));
  assert.equal(fields.Connection, 'close');
});

scenario('drop and resume', (hub) => {
  const stream = hub.open('a/1');
  for (const word of ['one', 'two', 'three']) {
    stream.publish(word);
  }
  let [response, bytes] = attach(hub, 'a/1');
  const seen = frames(bytes)[2].id; // the third event is lost on the way
  response.subscriber.close();
  stream.publish('four');

  [response, bytes] = attach(hub, 'a/1', { lastEventId: seen });
  assert.equal(response.verdict, 'resumed');
  const [ready, ...rest] = frames(bytes);
  assert.equal(ready.id, seen);
  assert.deepEqual(texts(rest), ['three', 'four']);
  [response] = attach(hub, 'a/1', { query: 'lastEventId=' + seen });
  assert.equal(response.verdict, 'resumed');
});

scenario('gap', (hub) => {
  const stream = hub.open('a/1');
  stream.publish('1');
  const first = frames(attach(hub, 'a/1')[1])[1].id;
  for (let i = 2; i < 8; ++i) {
    stream.publish(String(i));
  }
  for (const [lastEventId, verdict] of
       [[first, 'evicted'], ['b-1', 'foreign'], ['?', 'malformed']]) {
    const [response, bytes] = attach(hub, 'a/1', { lastEventId });
    assert.equal(response.verdict, verdict);
    const [gap, ready, ...rest] = frames(bytes);
    assert.deepEqual([gap.type, ready.type], ['weir.gap', 'weir.ready']);
    assert.equal(gap.id, ready.id);
    assert.deepEqual(texts(rest), ['4', '5', '6', '7']);
  }
});

scenario('replace', (hub) => {
  const old = hub.open('a/1');
  const [{ subscriber: older }] = attach(hub, 'a/1', { client: 'tab' });
  // A client that comes twice: the older connection is told to go.
  const [{ subscriber: newer }] = attach(hub, 'a/1', { client: 'tab' });
  assert.deepEqual([...hub.notices()].map(({ kind, source }) => [kind, source]),
                   [[weir.NOTICE_CLOSING, older]]);
  assert.deepEqual(types(older.read()), ['weir.closing']);
  assert.equal(older.read().length, 0);

  const replacing = hub.open('a/1', { on_duplicate: weir.DUPLICATE_REPLACE });
  assert.deepEqual([...hub.notices()].filter(({ source }) => source === old)
                       .map(({ kind }) => kind),
                   [weir.NOTICE_CANCELLED, weir.NOTICE_ENDED]);
  const bytes = newer.read();
  assert.deepEqual(types(bytes), ['weir.done']);
  assert.ok(bytes.includes('replaced_by_new_stream'));
  assert.equal(newer.read().length, 0);
  fails(weir.EENDED, () => old.publish('late'));
  assert.equal(replacing.publish('first'), 1);
  fails(weir.EEXISTS, () => hub.open(
      'a/1', { on_duplicate: weir.DUPLICATE_REJECT }));
});

scenario('end', (hub) => {
  let stream = hub.open('a/1');
  stream.publish('last');
  assert.equal(stream.end(), 2);
  let [response, bytes] = attach(hub, 'a/1');
  assert.deepEqual(types(bytes), ['weir.ready', 'message', 'weir.done']);
  assert.equal(response.subscriber.read().length, 0);
  response = hub.attach('a/1', { lastEventId: frames(bytes)[2].id });
  assert.equal(response.status, 204);
  assert.equal(response.verdict, 'finished');
  assert.equal(response.subscriber, null);
  assert.ok(response.head.toString().startsWith('HTTP/1.1 204 '));

  stream = hub.open('a/2');
  stream.fail('overloaded', 'Try again later.');
  [response, bytes] = attach(hub, 'a/2');
  assert.deepEqual(types(bytes), ['weir.ready', 'weir.failed']);
});

scenario('shown out', (hub) => {
  const stream = hub.open('a/1');
  let [{ subscriber }] = attach(hub, 'a/1');
  subscriber.dismiss('moved', 5000);
  const bytes = subscriber.read();
  assert.deepEqual(types(bytes), ['weir.closing']);
  assert.ok(bytes.includes('"reason":"moved"'));
  assert.ok(bytes.includes('retry: 5'));
  assert.equal(subscriber.read().length, 0);

  [{ subscriber }] = attach(hub, 'a/1');
  stream.cancel('stopped');
  assert.ok(subscriber.read().includes('"reason":"stopped"'));
});

scenario('refusals', (hub) => {
  assert.equal(hub.attach('a/1').status, 404);
  const stream = hub.open('a/1');
  fails(weir.ERESERVED, () => stream.publish('x', { type: 'open' }));
  fails(weir.EUTF8, () => stream.publish(Buffer.from([0xff])));
  fails(weir.EINVAL, () => hub.open(''));
  for (const option of [{ no_such_option: 1 }, { idle: '1' }, { user: 1 }]) {
    assert.throws(() => hub.open('a/2', option), TypeError);
  }
  const { subscriber } = hub.attach('a/1');
  for (const bad of [-1, 1.5, NaN, Infinity, 2 ** 53, -1n, 2n ** 64n]) {
    assert.throws(() => hub.open('a/2', { linger: bad }), RangeError);
    assert.throws(() => subscriber.dismiss('x', bad), RangeError);
    assert.throws(() => hub.drain(bad), RangeError);
  }
  for (const call of [
    () => hub.open('a/2', { on_duplicate: 2 ** 31 }),
    () => hub.attach('a/1', { heartbeat: 2 ** 32 }),
    () => stream.publish('x', { flags: 2 ** 32 }),
    () => subscriber.dismiss('x', 2 ** 32 + 2000),
    () => hub.drain(0, 2 ** 32 + 2000),
  ]) {
    assert.throws(call, RangeError);
  }
  hub.open('a/2', { label: 2n ** 64n - 1n, linger: 1000 });

  hub.drain(0, 7000);
  const response = hub.attach('a/1');
  assert.deepEqual([response.status, response.subscriber], [200, null]);
  assert.deepEqual(types(response.body), ['weir.closing']);
  assert.ok(response.body.includes('retry: 7'));
});

scenario('time', (hub) => {
  assert.equal(hub.timeout(), 2 ** 31 - 1);
  const stream = hub.open(
      'a/1', { first_event: 1, on_first_event: weir.ACTION_FAIL });
  let told = [];
  while (told.length === 0) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, hub.timeout());
    told = [...hub.notices()];
  }
  const [expired, ended] = told;
  assert.equal(expired.kind, weir.NOTICE_EXPIRED);
  assert.equal(expired.source, stream);
  assert.equal(expired.timer, weir.TIMER_FIRST_EVENT);
  assert.deepEqual([ended.kind, ended.seq], [weir.NOTICE_ENDED, 1]);
});

scenario('handles outlive the hub', (hub) => {
  const stream = hub.open('a/1');
  const [{ subscriber }] = attach(hub, 'a/1');
  hub.close();
  fails(weir.EGONE, () => stream.publish('x'));
  fails(weir.EGONE, () => subscriber.read());
  fails(weir.EGONE, () => hub.open('a/1'));
  assert.deepEqual([...hub.notices()], []);
  stream.close();
  stream.close();
  fails(weir.EGONE, () => stream.publish('x'));
});

scenario('what is closed is released', (hub) => {
  const stream = hub.open('a/1');
  const [{ subscriber }] = attach(hub, 'a/1');
  assert.equal(stream.signal('x', { type: 's' }), 1);
  subscriber.close();
  assert.equal(stream.signal('x', { type: 's' }), 0);
});
