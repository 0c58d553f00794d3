/* What a page needs of its client: R72 to R86. SPDX-License-Identifier: MIT */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect, parseCursor } from '../../examples/server/page/weir-client.js';
import { Streams } from '../../examples/server/page/weir-streams.js';
import {
  World, both, closing, done, failed, gap, id, ping, ready, settle, signal,
  text, token, tokens,
} from './kit.mjs';

/* One test for each transport: to the reader both are the same. */
function onBoth(name, run) {
  both.forEach((transport) => {
    test(`${name} [${transport}]`, () => run(transport));
  });
}

/* Let a client come back that has lost its connection. */
async function comeBack(world) {
  const before = world.network.requests.length;

  for (let i = 0; i < 100 && world.network.requests.length === before; ++i) {
    await world.clock.pass(1000);
  }
  assert.equal(world.network.requests.length, before + 1, 'it came back');
}

/* What the server is asked to go on from: the header, else the query. */
const asked = (request) =>
  request.cursor || request.query.get('lastEventId') || '';

onBoth('R72 five cuts give one message, and the reader is told', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + tokens(1, 3));
  for (let cut = 1; cut <= 5; ++cut) {
    const at = cut * 3;

    await world.server.send(token(at + 1, ` ${at + 1}`).slice(0, 20)); /* torn */
    await world.server.cut();
    assert.equal(client.status, 'waiting');
    await comeBack(world);
    assert.equal(asked(world.server), id(at));
    await world.server.accept(ready(at, 'resumed') + tokens(at + 1, at + 3));
    assert.equal(client.status, 'live');
  }
  await world.server.send(done(19));

  assert.equal(client.content, text(1, 18));
  assert.equal(client.counts.duplicates, 0);
  assert.equal(world.all('wait').length, 5, 'shown');
  assert.deepEqual(
    world.all('status').filter((status) => status !== 'connecting'),
    ['live', 'waiting', 'live', 'waiting', 'live', 'waiting', 'live', 'waiting',
      'live', 'waiting', 'live', 'ended'],
    'and cleared each time'
  );
});

test('R73 fetch sends the cursor in the header, and none at first', async () => {
  const world = new World();

  world.client({ client: 'me & you' }).connect();
  assert.equal(world.server.cursor, undefined);
  assert.equal(world.server.query.get('client'), 'me & you');
  assert.equal(world.server.query.has('heartbeat'), false);
  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.finish();
  await comeBack(world);
  assert.equal(world.server.cursor, id(2));
});

test('R73 an EventSource comes back by itself, and sees heartbeats', async () => {
  const world = new World();

  world.client({ transport: 'eventsource' }).connect();
  assert.equal(world.server.query.get('heartbeat'), 'ping');
  assert.equal(world.server.query.has('lastEventId'), false);
  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.cut();
  assert.deepEqual(world.all('wait'), [{ cause: 'dropped', delay: 0, failures: 0 }]);
  await world.clock.pass(999);
  assert.equal(world.network.requests.length, 1);
  await world.clock.pass(1);
  assert.equal(world.network.requests.length, 2);
  assert.equal(world.server.cursor, id(2), 'the header, as a browser does it');
});

onBoth('R73 what was had already is dropped', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + tokens(1, 3));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(ready(3, 'resumed') + tokens(1, 5));
  assert.equal(client.content, text(1, 5));
  assert.equal(client.counts.duplicates, 3);
});

test('R73 a browser that would ask for the wrong thing is not left to itself', async () => {
  const world = new World();

  world.client({ transport: 'eventsource' }).connect();
  await world.server.accept(ready(0) + tokens(1, 5) + tokens(3, 3));
  await world.server.cut();
  await comeBack(world);
  assert.equal(asked(world.server), id(5));
});

test('R73 one transport goes on where the other was', async () => {
  const world = new World();
  const first = world.client({ transport: 'fetch' }).connect();

  await world.server.accept(ready(0) + tokens(1, 3));
  const snapshot = first.snapshot();

  first.close();
  const second = world.client({ transport: 'eventsource', snapshot }).connect();

  assert.equal(asked(world.server), id(3));
  await world.server.accept(ready(3, 'resumed') + tokens(4, 5));
  assert.equal(second.content, text(1, 5));
});

onBoth('R74 whatever the caller does there is one connection', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  client.connect();
  client.resume();
  await world.server.accept(ready(0));
  client.connect();
  client.resume();
  assert.equal(world.network.requests.length, 1);

  client.pause();
  client.pause();
  client.resume();
  client.resume();
  client.connect();
  await world.server.accept(ready(0));
  await world.server.cut();
  client.resume();
  world.window.comeOnline();
  await world.clock.pass(60000);
  assert.equal(world.network.mostOpen, 1);
});

function streamsOf(world, more) {
  return new Streams(
    Object.assign(world.options(), { url: (key) => `/streams/${key}` }, more)
  );
}

[0, 100].forEach((delay) => {
  test(`R74 a view put up twice, ${delay} ms apart, opens once`, async () => {
    const world = new World();
    const streams = streamsOf(world);
    const first = streams.open('s');

    streams.release(first);
    await world.clock.pass(delay);
    const second = streams.open('s');

    await world.clock.pass(5000);
    assert.equal(first, second);
    assert.equal(world.network.requests.length, 1);
    assert.equal(first.status, 'connecting');
  });
});

test('R74 from A to B to A in haste opens A once', async () => {
  const world = new World();
  const streams = streamsOf(world);
  const a = streams.open('a');

  streams.release(a);
  const b = streams.open('b');

  streams.release(b);
  assert.equal(streams.open('a'), a);
  await world.clock.pass(5000);
  assert.deepEqual(world.network.requests.map((one) => one.url), ['/streams/a', '/streams/b']);
  assert.equal(b.status, 'closed', 'what nobody looks at goes');
  assert.equal(world.network.open, 1);
});

test('R74 two views of a stream share it, and the last one takes it down', async () => {
  const world = new World();
  const streams = streamsOf(world);
  const client = streams.open('s');

  streams.open('s');
  streams.release(client);
  await world.clock.pass(5000);
  assert.equal(client.status, 'connecting');
  streams.release(client);
  await world.clock.pass(5000);
  assert.equal(client.status, 'closed');
  assert.equal(world.network.open, 0);
});

onBoth('R75 handlers are replaced in mid-stream, without a new connection', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();
  const heard = [];

  await world.server.accept(ready(0) + token(1, 'a'));
  client.on({
    apply: (content, event) => `${content}<${event.data}>`,
    onSignal: (one) => heard.push(one.data),
  });
  await world.server.send(token(2, 'b') + signal('busy'));
  client.on({ onSignal: null });
  await world.server.send(signal('idle') + token(3, 'c'));

  assert.equal(client.content, 'a<b><c>');
  assert.deepEqual(heard, ['busy']);
  assert.equal(world.network.requests.length, 1);
});

test('R75 opening a stream again replaces its handlers', async () => {
  const world = new World();
  const streams = streamsOf(world);
  const heard = [];

  streams.open('s', { onSignal: () => heard.push('old') });
  await world.server.accept(ready(0));
  streams.open('s', { onSignal: () => heard.push('new') });
  await world.server.send(signal('busy'));
  assert.deepEqual(heard, ['new']);
  assert.equal(world.network.requests.length, 1);
});

onBoth('R76 a failure keeps the text, and what was held back is shown first', async (transport) => {
  const world = new World();
  const shown = [];
  const frames = [];
  const client = world
    .client({
      transport,
      schedule: (then) => frames.push(then), /* and they never come */
      onChange: (one) => shown.push(one.content),
      onEnd: (end) => shown.push(end),
    })
    .connect();

  await world.server.accept(ready(0) + tokens(1, 3));
  assert.deepEqual(shown, []);
  await world.server.send(failed(4, 'model_gone', 'The model is gone.'));

  assert.deepEqual(shown, [
    text(1, 3),
    { kind: 'failed', code: 'model_gone', message: 'The model is gone.' },
  ]);
  frames.forEach((then) => then());
  assert.equal(shown.length, 2, 'a late frame shows nothing twice');
  assert.equal(client.content, text(1, 3));
  assert.equal(client.cursor, id(4));
});

test('R76 a failure that could not be logged is final, and moves no cursor', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.send(failed(9, 'storage', '').replace(/^id: .*\n/, ''));
  assert.equal(client.end.kind, 'failed');
  assert.equal(client.cursor, id(2));
  assert.equal(client.content, text(1, 2));
});

test('R76 many changes are one, where the page says when', async () => {
  const world = new World();
  const frames = [];
  let changes = 0;

  world
    .client({
      schedule: (then) => frames.push(then),
      onChange: () => (changes += 1),
    })
    .connect();
  await world.server.accept(ready(0) + tokens(1, 50));
  assert.equal(frames.length, 1);
  frames.shift()();
  assert.equal(changes, 1);
});

test('R76 a client is removed by identity, not by its key', async () => {
  const world = new World();
  const streams = streamsOf(world);
  const old = streams.open('s');

  streams.forget('s');
  const young = streams.open('s');

  streams.close(old);
  streams.release(old);
  await world.clock.pass(5000);
  assert.equal(streams.get('s'), young);
  assert.equal(young.status, 'connecting');
});

test('R76 a client that was closed behind the registry is succeeded', () => {
  const world = new World();
  const streams = streamsOf(world);
  const old = streams.open('s');

  old.close();
  const young = streams.open('s');

  assert.notEqual(young, old);
  assert.equal(young.status, 'connecting');
});

test('R77 a stream out of sight goes on from what is cached', async () => {
  const world = new World();
  const snapshots = new Map([
    ['a', { stream: 'a', generation: 'abc', cursor: id(2), content: text(1, 2), end: null }],
  ]);
  const streams = streamsOf(world, { snapshots, schedule: undefined });
  const client = streams.open('a', { onChange: null });

  assert.equal(world.server.cursor, id(2));
  await world.server.accept(ready(2, 'resumed', { stream: 'a' }) + tokens(3, 3));
  assert.equal(client.content, text(1, 3), 'not only what came unseen');

  streams.close(client);
  assert.equal(streams.snapshots.get('a').content, text(1, 3));
  assert.equal(streams.snapshots.get('a').cursor, id(3));
});

test('R77 frames go by what they name, not by what is in sight', async () => {
  const world = new World();
  const streams = streamsOf(world, { envelope: true });
  const wrap = (seq, stream, data) =>
    token(seq, JSON.stringify({ stream, generation: 'abc', index: seq - 1, data }));
  const a = streams.open('a');
  const serverA = world.server;

  await serverA.accept(ready(0, 'fresh', { stream: 'a' }));
  const b = streams.open('b'); /* now this is the view */

  await world.server.accept(ready(0, 'fresh', { stream: 'b' }));
  await serverA.send(wrap(1, 'a', 'one'));
  await serverA.send(wrap(2, 'b', 'stray'));
  await world.server.send(wrap(1, 'b', 'uno'));

  assert.equal(a.content, 'one');
  assert.equal(b.content, 'uno');
  assert.equal(a.counts.foreign, 1);
});

/* R78 is in syntax.test.mjs. */

onBoth('R79 control frames of another stream or generation are ignored', async (transport) => {
  const world = new World();
  const client = world.client({ transport, stream: 's' }).connect();
  const as = (one, body) =>
    one.replace(/data: .*/, (data) =>
      `data: ${JSON.stringify({ ...JSON.parse(data.slice(6)), ...body })}`);

  await world.server.accept(ready(0, 'fresh', { stream: 'other' }));
  await world.server.send(tokens(1, 1));
  assert.equal(client.status, 'connecting');
  assert.equal(client.content, '', 'nothing has said that this is ours');

  await world.server.send(ready(1) + tokens(2, 2));
  await world.server.send(as(done(3), { stream: 'other' }));
  await world.server.send(as(failed(3, 'x', ''), { generation: 'old' }));
  await world.server.send(as(closing('replaced', 60000), { generation: 'old' }));
  assert.equal(client.status, 'live');
  assert.equal(client.content, text(2, 2));
  assert.equal(client.counts.foreign, 5);
});

onBoth('R79 with an envelope events are filtered one by one', async (transport) => {
  const world = new World();
  const client = world.client({ transport, envelope: true }).connect();
  const wrap = (seq, stream, generation) =>
    token(seq, JSON.stringify({ stream, generation, index: seq - 1, data: ` ${seq}` }));

  await world.server.accept(ready(0));
  await world.server.send(wrap(1, 's', 'abc') + wrap(2, 's', 'old'));
  await world.server.send(wrap(2, 'other', 'abc') + token(2, 'not an object'));
  assert.equal(client.content, ' 1');
  assert.equal(client.cursor, id(1), 'what is not ours moves no cursor');
  assert.equal(client.counts.foreign, 3);
});

test('R79 another generation under a cursor that cannot tell starts over', async () => {
  const world = new World();
  const client = world
    .client({
      snapshot: { stream: 's', generation: 'old', cursor: '7', content: 'old text' },
    })
    .connect();
  const number = (one) => one.replace(/abc-/, '');

  await world.server.accept(number(ready(7, 'resumed')));
  assert.equal(world.network.requests.length, 2);
  assert.equal(world.server.cursor, undefined);
  await world.server.accept(number(ready(0)) + number(token(1, 'new text')));
  assert.equal(client.content, 'new text');
  assert.equal(world.network.open, 1);
});

test('R80 forty seconds of heartbeats and nothing else are not death [eventsource]', async () => {
  const world = new World();
  const client = world.client({ transport: 'eventsource', lateMs: 0 }).connect();

  await world.server.accept(ready(0));
  for (let second = 0; second < 40; second += 10) {
    await world.clock.pass(10000);
    await world.server.send(ping());
  }
  assert.equal(client.status, 'live');
  assert.equal(world.network.requests.length, 1);
  assert.deepEqual(world.all('beat'), ['ping', 'ping', 'ping', 'ping']);
});

test('R80 a comment is a heartbeat too [fetch]', async () => {
  const world = new World();
  const client = world.client({ lateMs: 0 }).connect();

  await world.server.accept(ready(0));
  for (let second = 0; second < 40; second += 10) {
    await world.clock.pass(10000);
    await world.server.send(':\n');
  }
  assert.equal(client.status, 'live');
  assert.equal(client.counts.beats, 4);
  assert.equal(client.counts.events, 0, 'and no data');
});

onBoth('R80 thirty seconds without anything are', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  await world.clock.pass(29999);
  assert.equal(client.status, 'live');
  await world.clock.pass(1);
  assert.equal(client.status, 'waiting');
  assert.equal(world.all('wait')[0].cause, 'silence');
  assert.equal(world.network.open, 0);
  await comeBack(world);
  assert.equal(asked(world.server), id(2));
});

onBoth('R80 so is a request that nobody answers', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.clock.pass(30000);
  assert.equal(client.status, 'waiting');
  assert.equal(world.all('wait')[0].cause, 'silence');
});

onBoth('R80 35 s from ready to the first event, then the fallback, once', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.clock.pass(5000);
  await world.server.accept(ready(0));
  await world.clock.pass(20000);
  await world.server.send(ping());
  await world.clock.pass(14999);
  assert.equal(world.all('late').length, 0);
  await world.clock.pass(1);
  assert.equal(world.all('late').length, 1);
  assert.equal(client.status, 'live', 'a hook, not an end');
  await world.server.send(token(1, 'after all'));
  assert.equal(client.content, 'after all');
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(ready(1, 'resumed'));
  await world.clock.pass(25000);
  await world.server.send(ping());
  await world.clock.pass(25000);
  assert.equal(world.all('late').length, 1);
});

test('R80 nobody waits for the first event while paused', async () => {
  const world = new World();
  const client = world.client({ deadMs: 0 }).connect();

  await world.server.accept(ready(0));
  await world.clock.pass(20000);
  client.pause();
  await world.clock.pass(3600000);
  assert.equal(world.all('late').length, 0);
  client.resume();
  await world.server.accept(ready(0, 'resumed'));
  await world.clock.pass(34999);
  assert.equal(world.all('late').length, 0);
  await world.clock.pass(1);
  assert.equal(world.all('late').length, 1);
});

test('R80 a first event in time needs no fallback', async () => {
  const world = new World();

  world.client().connect();
  await world.server.accept(ready(0));
  await world.clock.pass(20000);
  await world.server.send(token(1, 'x'));
  await world.clock.pass(29000);
  assert.equal(world.all('late').length, 0);
});

onBoth('R81 heartbeats and signals are not data', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + signal('before') + tokens(1, 1));
  await world.server.send(ping() + signal('busy') + ping() + tokens(2, 2));
  assert.equal(client.content, text(1, 2));
  assert.equal(client.cursor, id(2));
  assert.deepEqual(world.all('signal').map((one) => one.data), ['before', 'busy']);
  assert.equal(client.counts.events, 2);
});

test('R81 what leaves a hole is not applied but asked for again', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2) + tokens(5, 6));
  assert.equal(client.content, text(1, 2));
  assert.equal(client.cursor, id(2));
  assert.equal(world.all('wait')[0].cause, 'hole');
  await comeBack(world);
  assert.equal(world.server.cursor, id(2));
  await world.server.accept(ready(2, 'resumed') + tokens(3, 6));
  assert.equal(client.content, text(1, 6));
  assert.equal(client.counts.duplicates, 0);
});

test('R81 an end does not jump over a hole either', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2) + done(4));
  assert.equal(client.status, 'waiting');
  await comeBack(world);
  await world.server.accept(ready(2, 'resumed') + tokens(3, 3) + done(4));
  assert.deepEqual(client.end, { kind: 'done', reason: 'complete' });
  assert.equal(client.content, text(1, 3));
});

test('R81 a hole that stays is not skipped in silence: the client gives up', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 1) + tokens(3, 3));
  for (let i = 0; i < 5; ++i) {
    await comeBack(world);
    await world.server.accept(ready(1, 'resumed') + tokens(3, 3));
  }
  assert.deepEqual(client.end, { kind: 'gave_up', failures: 5, cause: 'hole' });
  assert.equal(client.content, text(1, 1));
});

test('R81 an EventSource hears only some types, so there a hole says nothing', async () => {
  const world = new World();
  const client = world
    .client({ transport: 'eventsource', types: ['token'] })
    .connect();

  await world.server.accept(
    ready(0) + tokens(1, 1) + token(2, 'x').replace('token', 'other') + tokens(3, 3)
  );
  assert.equal(client.content, ' 1 3');
  assert.equal(client.status, 'live');
});

test('R82 an error while the browser reconnects is not the end', async () => {
  const world = new World();
  const client = world.client({ transport: 'eventsource' }).connect();

  await world.server.accept(ready(0) + tokens(1, 1));
  await world.server.cut();
  assert.equal(client.status, 'waiting');
  assert.equal(client.end, null);
  await world.clock.pass(1000);
  await world.server.accept(ready(1, 'resumed') + tokens(2, 2));
  assert.equal(client.content, text(1, 2));
  assert.equal(world.network.mostOpen, 1);
});

onBoth('R82 five failures in a row and the client gives up', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  for (let i = 0; i < 4; ++i) {
    await world.server.cut();
    assert.equal(client.status, 'waiting');
    await comeBack(world);
  }
  await world.server.cut();
  assert.deepEqual(client.end, { kind: 'gave_up', failures: 5, cause: 'dropped' });
  assert.equal(world.network.open, 0);
  assert.equal(world.clock.pending, 0);
  assert.equal(world.all('end').length, 1);

  client.resume(); /* somebody pressed a button */
  await world.server.accept(ready(0) + tokens(1, 1));
  assert.equal(client.content, text(1, 1));
});

onBoth('R82 whoever tries again by hand has five attempts again', async (transport) => {
  const world = new World();
  const client = world.client({ transport, maxFailures: 2 }).connect();

  await world.server.cut();
  await comeBack(world);
  await world.server.cut();
  assert.equal(client.end.kind, 'gave_up');
  client.resume();
  await world.server.cut();
  assert.equal(client.status, 'waiting');
});

onBoth('R82 the first event forgives what was before, ready does not', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  for (let i = 0; i < 4; ++i) {
    await world.server.accept(ready(0));
    await world.server.cut();
    await comeBack(world);
  }
  assert.equal(client.failures, 4);
  await world.server.accept(ready(0) + tokens(1, 1));
  assert.equal(client.failures, 0);
  await world.server.cut();
  await comeBack(world);
  await world.server.cut();
  assert.equal(client.failures, 1);
  assert.equal(client.status, 'waiting');
});

test('R82 a quiet stream is no failure, a silent connection is', async () => {
  const world = new World();
  const client = world.client({ lateMs: 0 }).connect();

  for (let i = 0; i < 8; ++i) {
    await world.server.accept(ready(0));
    await world.clock.pass(20000);
    await world.server.send(':\n');
    await world.clock.pass(20000);
    await world.server.send(':\n');
    await world.server.cut();
    await comeBack(world);
  }
  assert.equal(client.failures, 0);

  for (let i = 0; i < 5; ++i) {
    await world.server.accept(ready(0));
    await world.clock.pass(30000);
    if (i < 4) {
      await comeBack(world);
    }
  }
  assert.deepEqual(client.end, { kind: 'gave_up', failures: 5, cause: 'silence' });
});

test('R82 nor is that so for a client that never thinks a line dead', async () => {
  const world = new World();
  const client = world.client({ deadMs: 0 }).connect();

  for (let i = 0; i < 5; ++i) {
    await world.server.accept(ready(0));
    await world.server.cut();
    if (i < 4) {
      await comeBack(world);
    }
  }
  assert.equal(client.end.kind, 'gave_up');
});

test('R82 it waits as long as told, twice as long each time, with some chance', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0).replace('retry: 1000', 'retry: 1200') + tokens(1, 1));
  await world.server.cut();
  await world.clock.pass(1200);
  await world.server.cut();
  await world.clock.pass(2400);
  world.chance = 0.999;
  await world.server.cut();
  await world.clock.pass(5999);
  world.chance = 0;
  await world.server.cut();
  assert.deepEqual(
    world.all('wait').map((wait) => wait.delay),
    [1200, 2400, 5999, 9600]
  );
  assert.equal(client.returnAt, world.clock.time + 9600);
  await comeBack(world);
  assert.equal(client.returnAt, 0);
});

test('R82 a browser knows no backoff, so only the first return is its own', async () => {
  const world = new World();

  world.client({ transport: 'eventsource' }).connect();
  await world.server.accept(ready(0) + tokens(1, 1));
  await world.server.cut();
  await comeBack(world);
  await world.server.cut();
  await comeBack(world);
  await world.server.cut();
  assert.deepEqual(world.all('wait').map((wait) => wait.delay), [0, 2000, 4000]);
});

test('R82 no wait is longer than the limit, unless the server says so', async () => {
  const world = new World();

  world.client({ maxFailures: 20 }).connect();
  for (let i = 0; i < 8; ++i) {
    await world.server.cut();
    await comeBack(world);
  }
  assert.equal(world.all('wait').pop().delay, 30000);
  await world.server.accept(ready(0).replace('retry: 1000', 'retry: 45000'));
  await world.server.send(tokens(1, 1));
  await world.server.cut();
  assert.equal(world.all('wait').pop().delay, 45000);
});

test('R82 what the server tells is bounded', async () => {
  const world = new World();

  world.client().connect();
  await world.server.accept(ready(0).replace('1000', '0') + tokens(1, 1));
  await world.server.cut();
  assert.equal(world.all('wait').pop().delay, 500);
  await comeBack(world);
  await world.server.accept(ready(1).replace('1000', '99999999999') + tokens(2, 2));
  await world.server.cut();
  assert.equal(world.all('wait').pop().delay, 86400000);
});

onBoth('R82 a 503 passes, a 404 does not', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();
  const refuse = async (status) => {
    await world.server.refuse(status);
    if (transport === 'eventsource') {
      /* An EventSource does not say why it closed, so the client asks. */
      await world.server.refuse(status);
    }
  };

  await refuse(503);
  assert.equal(client.status, 'waiting');
  assert.equal(world.all('wait')[0].cause, 'status 503');
  await comeBack(world);
  await refuse(429);
  await comeBack(world);
  await refuse(404);
  assert.deepEqual(client.end, { kind: 'refused', status: 404 });
  assert.equal(world.clock.pending, 0);
  client.resume();
  assert.equal(client.status, 'connecting');
});

test('R82 a page instead of a stream is a refusal', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.refuse(200, 'text/html');
  assert.deepEqual(client.end, { kind: 'refused', status: 200 });
});

test('R82 without a network nobody gives up, and its return is used at once', async () => {
  const world = new World();
  const client = world.client().connect();

  world.isOnline = false;
  for (let i = 0; i < 9; ++i) {
    await world.server.cut();
    await comeBack(world);
  }
  await world.server.cut();
  assert.equal(client.status, 'waiting');
  world.isOnline = true;
  world.window.comeOnline();
  assert.equal(client.status, 'connecting');
  assert.equal(client.failures, 0);
  assert.equal(world.network.open, 1);
});

onBoth('R83 the end closes, and is final', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + tokens(1, 2) + done(3));
  assert.equal(world.network.open, 0);
  assert.deepEqual(client.end, { kind: 'done', reason: 'complete' });
  assert.equal(client.cursor, id(3));
  await world.server.finish();
  assert.equal(world.window.listeners.size, 0);
  client.resume();
  client.connect();
  client.pause();
  world.window.comeOnline();
  await world.clock.pass(3600000);
  assert.equal(world.network.requests.length, 1);
  assert.equal(client.status, 'ended');
  assert.equal(world.all('end').length, 1);
});

onBoth('R83 204: the client has seen the end, and stops', async (transport) => {
  const world = new World();
  const client = world.client({ transport, snapshot: {
    stream: 's', generation: 'abc', cursor: id(3), content: text(1, 2), end: null,
  } }).connect();

  assert.equal(asked(world.server), id(3));
  await world.server.refuse(204, 'text/event-stream');
  if (transport === 'eventsource') {
    assert.equal(client.status, 'connecting', 'asking why');
    assert.equal(asked(world.server), id(3));
    await world.server.refuse(204, 'text/event-stream');
  }
  assert.deepEqual(client.end, { kind: 'finished', status: 204 });
  assert.equal(client.content, text(1, 2));
  assert.equal(world.network.open, 0);
});

test('R83 an event that a server calls `error` is heard, not taken for a loss', async () => {
  const world = new World();
  const client = world.client({ transport: 'eventsource', apply: (content, event) =>
    `${content}[${event.type}]` }).connect();

  await world.server.accept(ready(0) + token(1, 'oh').replace('token', 'error'));
  assert.equal(client.content, '[error]');
  assert.equal(client.status, 'live');
});

test('R83 what came in one piece with the end is not heard after close', async () => {
  const world = new World();
  const client = world.client({
    onChange: (one) => one.content === text(1, 2) && one.close(),
  }).connect();

  await world.server.accept(ready(0) + tokens(1, 5));
  assert.equal(client.content, text(1, 2));
  assert.equal(client.cursor, id(2));
});

onBoth('R84 the cursor moves when the event has been applied', async (transport) => {
  const world = new World();
  let broken = true;
  const seen = [];
  const client = world.client({ transport, apply(content, event) {
    seen.push([event.seq, client.cursor]);
    if (event.seq === 3 && broken) {
      throw new Error('out of paper');
    }
    return content + event.data;
  } }).connect();

  await world.server.accept(ready(0) + tokens(1, 4));
  assert.deepEqual(seen, [[1, id(0)], [2, id(1)], [3, id(2)]]);
  assert.equal(client.cursor, id(2));
  assert.equal(client.content, text(1, 2));
  assert.equal(world.all('fault').length, 1);

  broken = false;
  await comeBack(world);
  assert.equal(asked(world.server), id(2));
  await world.server.accept(ready(2, 'resumed') + tokens(3, 4));
  assert.equal(client.content, text(1, 4));
});

test('R84 an event that can never be applied is not asked for for ever', async () => {
  const world = new World();
  const client = world.client({ apply(content, event) {
    if (event.seq === 2) {
      throw new Error('poison');
    }
    return content + event.data;
  } }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  for (let i = 0; i < 5; ++i) {
    await comeBack(world);
    await world.server.accept(ready(1, 'resumed') + tokens(2, 2));
  }
  assert.deepEqual(client.end, { kind: 'gave_up', failures: 5, cause: 'apply' });
  assert.equal(client.cursor, id(1));
});

onBoth('R84 content and cursor are stored in one piece and given back', async (transport) => {
  const world = new World();
  let stored = '';
  const client = world.client({ transport, onChange: (one) => {
    stored = JSON.stringify(one.snapshot());
  } }).connect();

  await world.server.accept(ready(0) + tokens(1, 7));
  client.close();

  const again = world.client({ transport, snapshot: JSON.parse(stored) }).connect();

  assert.equal(again.content, text(1, 7));
  assert.equal(asked(world.server), id(7));
  await world.server.accept(ready(7, 'resumed') + tokens(8, 9) + done(10));
  assert.equal(again.content, text(1, 9));
  assert.equal(again.counts.duplicates, 0);
});

test('R84 the position of `ready` is a cursor for who has none', async () => {
  const world = new World();
  const client = world.client({ from: 'head' }).connect();

  assert.equal(world.server.query.get('from'), 'head');
  await world.server.accept(ready(40));
  await world.server.cut();
  await comeBack(world);
  assert.equal(world.server.cursor, id(40));
  await world.server.accept(ready(40, 'resumed') + tokens(41, 41));
  assert.equal(client.content, text(41, 41));
});

onBoth('R84 a handler that changes content in place need not return it', async (transport) => {
  const world = new World();
  const client = world.client({ transport, content: () => [], apply: (list, event) => {
    list.push(event.seq);
  } }).connect();

  await world.server.accept(ready(0) + tokens(1, 3));
  assert.deepEqual(client.content, [1, 2, 3]);
});

onBoth('R85 what has failed is not restarted on reload', async (transport) => {
  const world = new World();
  let stored = '';
  const keep = { transport, onChange: (one) => {
    stored = JSON.stringify(one.snapshot());
  } };

  world.client(keep).connect();
  await world.server.accept(ready(0) + tokens(1, 2) + failed(3, 'gone', 'Gone.'));

  const again = world.client({ ...keep, snapshot: JSON.parse(stored) });

  again.connect();
  again.resume();
  world.window.comeOnline();
  await world.clock.pass(3600000);
  assert.equal(world.network.requests.length, 1, 'nobody asked again');
  assert.equal(again.status, 'ended');
  assert.deepEqual(again.end, { kind: 'failed', code: 'gone', message: 'Gone.' });
  assert.equal(again.content, text(1, 2));
});

test('R85 nor when its view is opened again', async () => {
  const world = new World();
  const streams = streamsOf(world);
  const first = streams.open('s');

  await world.server.accept(ready(0) + failed(1, 'gone', ''));
  streams.close(first);
  assert.equal(streams.open('s').end.kind, 'failed');
  assert.equal(world.network.requests.length, 1);
});

/* What a client comes to that is refused, and one that gives up. */
const passing = {
  refused: (world) => world.server.refuse(404),
  gave_up: async (world) => {
    await world.server.cut();
    for (let i = 1; i < 5; ++i) {
      await comeBack(world);
      await world.server.cut();
    }
  },
};

Object.keys(passing).forEach((kind) => {
  test(`R85 being ${kind} is no end: a reload asks again, with what it has`, async () => {
    const world = new World();
    let stored = '';
    const keep = { onChange: (one) => {
      stored = JSON.stringify(one.snapshot());
    } };
    const client = world.client(keep).connect();

    await world.server.accept(ready(0) + tokens(1, 2));
    await world.server.cut();
    await comeBack(world);
    await passing[kind](world);
    assert.equal(client.end.kind, kind);
    const again = world.client({ ...keep, snapshot: JSON.parse(stored) });

    assert.equal(again.status, 'idle');
    again.connect();
    assert.equal(again.status, 'connecting');
    assert.equal(world.server.cursor, id(2));
    await world.server.accept(ready(2, 'resumed') + tokens(3, 3) + done(4));
    assert.equal(again.content, text(1, 3));
    assert.equal(JSON.parse(stored).end.kind, 'done');
  });

  test(`R85 nor is it to a view that is opened again [${kind}]`, async () => {
    const world = new World();
    const streams = streamsOf(world);
    const first = streams.open('s');

    await passing[kind](world);
    assert.equal(first.end.kind, kind);
    const before = world.network.requests.length;

    streams.close(first);
    assert.equal(streams.open('s').status, 'connecting');
    assert.equal(world.network.requests.length, before + 1);
  });
});

onBoth('R86 close leaves nothing behind, in any state', async (transport) => {
  const states = {
    idle: () => {},
    connecting: (world, client) => client.connect(),
    live: async (world, client) => {
      client.connect();
      await world.server.accept(ready(0) + tokens(1, 1));
    },
    waiting: async (world, client) => {
      client.connect();
      await world.server.cut();
    },
    paused: (world, client) => {
      client.connect();
      client.pause();
    },
    ended: async (world, client) => {
      client.connect();
      await world.server.accept(ready(0) + done(1));
    },
  };

  for (const state of Object.keys(states)) {
    const world = new World();
    const scheduled = [];
    const client = world.client({ transport, schedule: (then) => scheduled.push(then) });

    await states[state](world, client);
    assert.equal(client.status, state);
    client.close();
    client.close();
    world.heard = [];
    client.connect();
    client.resume();
    client.pause();
    scheduled.forEach((then) => then());
    await world.clock.pass(3600000);
    assert.equal(client.status, 'closed');
    assert.equal(world.network.open, 0, state);
    assert.equal(world.clock.pending, 0, state);
    assert.equal(world.window.listeners.size, 0, state);
    assert.deepEqual(world.heard, [], state);
  }
});

onBoth('R86 close inside any handler is close', async (transport) => {
  const script = async (world) => {
    await world.server.accept(
      gap(id(2), { verdict: 'evicted', requested: 'abc-1', first: 3, last: 5 }) +
      ready(2, 'evicted') + signal('x') + tokens(3, 4) + tokens(3, 3) + ping() +
      closing('draining', 1000)
    );
    await world.server.cut();
    await world.clock.pass(60000);
  };
  const names = ['apply', 'onGap', 'onChange', 'onStatus', 'onReady', 'onSignal',
    'onBeat', 'onWait', 'onClosing', 'onDrop', 'onFrame'];

  for (const name of names) {
    const world = new World();
    let times = 0;
    const client = world.client({ transport, snapshot: {
      stream: 's', generation: 'abc', cursor: id(1), content: text(1, 1),
    } });

    client.on({ [name]: () => {
      times += 1;
      client.close();
    } });
    client.connect();
    if (world.server) {
      await script(world);
    }
    assert.equal(times, 1, name);
    assert.equal(client.status, 'closed', name);
    assert.equal(world.network.open, 0, name);
    assert.equal(world.clock.pending, 0, name);
  }
});

test('R86 a client that is closed while a frame is shown applies none of it', async () => {
  const world = new World();
  const client = world.client({ onFrame: (frame) =>
    frame.type === 'token' && client.close() }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  assert.equal(client.content, '');
  assert.equal(client.cursor, id(0));
});

test('R86 a handler that closes and then throws has closed', async () => {
  const world = new World();
  const client = world.client({ apply: () => {
    client.close();
    throw new Error('and gone');
  } }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  assert.equal(client.status, 'closed');
  assert.equal(world.clock.pending, 0);
  assert.equal(world.all('fault').length, 1);
});

test('R86 a transport that is closed while it is being opened is closed', () => {
  const world = new World();
  let closed = 0;
  const client = world.client({ transport: (env, request, sink) => {
    sink.closed({ status: 404 });
    return { close: () => (closed += 1) };
  } }).connect();

  assert.equal(client.end.kind, 'refused');
  assert.equal(closed, 1);
});

test('R86 nobody waits for the reason of an EventSource that was closed', async () => {
  const world = new World();
  const client = world.client({ transport: 'eventsource' }).connect();

  await world.server.refuse(503);
  assert.equal(world.network.open, 1, 'asking why');
  client.close();
  assert.equal(world.network.open, 0);
  assert.equal(world.server.abandoned, true);
});

test('R86 the body of a refusal is not left lying on the connection', async () => {
  const world = new World();

  world.client().connect();
  await world.server.refuse(503);
  assert.equal(world.server.abandoned, true);
});

test('R86 the registry closes all it has', async () => {
  const world = new World();
  const streams = streamsOf(world);

  streams.release(streams.open('a'));
  streams.open('b');
  streams.closeAll();
  await world.clock.pass(5000);
  assert.equal(world.network.open, 0);
  assert.equal(world.clock.pending, 0);
});

/* ---- what design.md adds to the seeds ---- */

onBoth('gap evicted: what there is stays, and the hole is shown', async (transport) => {
  const world = new World();
  const client = world.client({ transport, onGap: (one, content) =>
    `${content} (${one.from} to ${one.first})` }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(
    gap(id(9), { verdict: 'evicted', requested: id(2), first: 10, last: 12 }) +
    ready(9, 'evicted') + tokens(10, 10)
  );
  assert.equal(client.content, ' 1 2 (abc-2 to 10) 10');
  assert.equal(client.counts.gaps, 1);
  assert.equal(client.status, 'live');
});

['ahead', 'foreign', 'malformed'].forEach((verdict) => {
  onBoth(`gap ${verdict}: start over`, async (transport) => {
    const world = new World();
    const client = world.client({ transport, snapshot: {
      stream: 's', generation: 'xyz', cursor: 'xyz-99', content: 'something else',
    } }).connect();

    await world.server.accept(
      gap(id(0), { verdict, requested: 'xyz-99', first: 1, last: 2 }) +
      ready(0, verdict) + tokens(1, 2)
    );
    assert.equal(client.content, text(1, 2));
    assert.equal(client.generation, 'abc');
    assert.equal(client.cursor, id(2));
  });
});

onBoth('gap rewound: what is void is dropped, and numbers go on in the new epoch', async (transport) => {
  const world = new World();
  const client = world.client({ transport, content: () => [],
    apply: (list, event) => { list.push([event.seq, event.data]); },
    onGap: (one, list) => list.filter((item) => item[0] < one.first),
  }).connect();

  await world.server.accept(ready(0) + tokens(1, 5));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(
    gap(id(3), { verdict: 'rewound', requested: id(5), first: 4, last: 5 }) +
    ready(3, 'rewound') +
    token(4, 'four').replace('abc-', 'def-') + token(5, 'five').replace('abc-', 'def-')
  );
  assert.deepEqual(client.content, [[1, ' 1'], [2, ' 2'], [3, ' 3'], [4, 'four'], [5, 'five']]);
  assert.equal(client.cursor, 'def-5');
});

onBoth('gap rewound without a handler: start over from nothing', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  await world.server.accept(ready(0) + tokens(1, 5));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(
    gap(id(3), { verdict: 'rewound', requested: id(5), first: 4, last: 5 }) + ready(3, 'rewound')
  );
  assert.equal(asked(world.server), '');
  await world.server.accept(ready(0) + tokens(1, 4));
  assert.equal(client.content, text(1, 4));
  assert.equal(world.network.open, 1);
});

test('a drop right after a gap neither loses nor repeats', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(
    gap(id(9), { verdict: 'evicted', requested: id(2), first: 10, last: 12 })
  );
  await world.server.cut();
  await comeBack(world);
  assert.equal(world.server.cursor, id(9));
  await world.server.accept(ready(9, 'resumed') + tokens(10, 11));
  assert.equal(client.content, ' 1 2 10 11');
});

test('nor does one after a gap into another generation', async () => {
  const world = new World();
  const client = world.client({ snapshot: {
    stream: 's', generation: 'xyz', cursor: 'xyz-9', content: 'something else',
  } }).connect();

  await world.server.accept(
    gap(id(0), { verdict: 'foreign', requested: 'xyz-9', first: 1, last: 2 })
  );
  await world.server.cut();
  await comeBack(world);
  assert.equal(world.server.cursor, id(0));
  await world.server.accept(ready(0, 'resumed') + tokens(1, 2));
  assert.equal(client.content, text(1, 2));
  assert.equal(world.network.requests.length, 2);
});

test('who starts over waits for a first event anew', async () => {
  const world = new World();

  world.client({ deadMs: 0, snapshot: {
    stream: 's', generation: 'xyz', cursor: 'xyz-9', content: 'something else',
  } }).connect();
  await world.server.accept(
    gap(id(0), { verdict: 'foreign', requested: 'xyz-9', first: 1, last: 0 }) +
    ready(0, 'foreign')
  );
  await world.clock.pass(35000);
  assert.equal(world.all('late').length, 1);
});

test('a gap handler that throws has not applied the gap', async () => {
  const world = new World();
  const client = world.client({ onGap: () => { throw new Error('no'); } }).connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  await world.server.cut();
  await comeBack(world);
  await world.server.accept(
    gap(id(9), { verdict: 'evicted', requested: id(2), first: 10, last: 12 }) + ready(9, 'evicted')
  );
  assert.equal(client.cursor, id(2));
  assert.equal(client.status, 'waiting');
});

test('closing replaced: it does not come straight back [fetch]', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2) + closing('replaced', 64000));
  await world.server.finish();
  assert.equal(client.status, 'waiting');
  assert.deepEqual(world.all('closing').map((one) => one.reason), ['replaced']);
  await world.clock.pass(63999);
  assert.equal(world.network.requests.length, 1);
  await world.clock.pass(1);
  assert.equal(world.server.cursor, id(2));
});

test('closing replaced without a word on when: a minute [fetch]', async () => {
  const world = new World();

  world.client().connect();
  await world.server.accept(ready(0) + closing('replaced'));
  await world.server.finish();
  assert.equal(world.all('wait')[0].delay, 60000);
});

test('closing replaced: the browser waits, and is not thought dead [eventsource]', async () => {
  const world = new World();
  const client = world.client({ transport: 'eventsource' }).connect();

  await world.server.accept(ready(0) + tokens(1, 2) + closing('replaced', 64000));
  await world.server.finish();
  await world.clock.pass(63999);
  assert.equal(world.network.requests.length, 1);
  assert.equal(client.status, 'waiting');
  await world.clock.pass(1);
  assert.equal(world.network.requests.length, 2);
  assert.equal(asked(world.server), id(2));
});

onBoth('closing expired, time and again, is no failure', async (transport) => {
  const world = new World();
  const client = world.client({ transport }).connect();

  for (let i = 0; i < 8; ++i) {
    await world.server.accept(ready(0) + closing('expired', 1000));
    await world.server.finish();
    await comeBack(world);
  }
  assert.equal(client.failures, 0);
});

test('closing unavailable before any ready is one', async () => {
  const world = new World();
  const client = world.client().connect();

  for (let i = 0; i < 5; ++i) {
    await world.server.accept(closing('unavailable', 1000).replace('"abc"', 'null'));
    await world.server.finish();
    if (i < 4) {
      await comeBack(world);
    }
  }
  assert.equal(client.end.kind, 'gave_up');
  assert.equal(world.all('closing').length, 5);
});

test('replaced by a new generation is a benign end', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2) + done(3, 'replaced_by_new_stream'));
  assert.deepEqual(client.end, { kind: 'done', reason: 'replaced_by_new_stream' });
  assert.equal(client.content, text(1, 2));
});

test('a second ready on a connection changes nothing', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2) + ready(0) + tokens(3, 3));
  assert.equal(client.content, text(1, 3));
  assert.equal(world.all('ready').length, 1);
});

test('what the server holds in one piece is not what makes a connection', async () => {
  const world = new World();
  const client = world.client({ stream: 's' }).connect();
  const all = ready(0) + tokens(1, 3) + done(4);

  await world.server.accept();
  for (const byte of all) {
    await world.server.send(byte);
  }
  assert.equal(client.content, text(1, 3));
  assert.equal(client.end.kind, 'done');
});

test('handlers that throw are reported and hurt nobody', async () => {
  const world = new World();
  const oops = () => { throw new Error('oops'); };
  const client = world.client({
    onStatus: oops, onReady: oops, onChange: oops, onSignal: oops, onEnd: oops,
  }).connect();

  await world.server.accept(ready(0) + signal('x') + tokens(1, 2) + done(3));
  assert.equal(client.content, text(1, 2));
  assert.equal(client.end.kind, 'done');
  assert.deepEqual([...new Set(world.all('fault').map((one) => one.message))], ['oops']);
});

test('pause keeps everything, resume goes on', async () => {
  const world = new World();
  const client = world.client().connect();

  await world.server.accept(ready(0) + tokens(1, 2));
  client.pause();
  assert.equal(world.network.open, 0);
  world.window.comeOnline();
  await world.clock.pass(3600000);
  assert.equal(world.network.requests.length, 1);
  client.resume();
  await world.server.accept(ready(2, 'resumed') + tokens(3, 3));
  assert.equal(client.content, text(1, 3));
});

test('the wire is shown as it came', async () => {
  const world = new World();
  const lines = [];

  world.client({ onLine: (line) => lines.push(line) }).connect();
  await world.server.accept('retry: 700\n:\nid: abc-0\nevent: token\ndata: x\n\n');
  assert.deepEqual(lines, ['retry: 700', ':', 'id: abc-0', 'event: token', 'data: x', '']);
});

test('connect() makes and starts', () => {
  const world = new World();
  const client = connect(world.options());

  assert.equal(client.status, 'connecting');
  client.close();
});

test('a transport of one\'s own', async () => {
  const world = new World();
  const calls = [];
  const client = world.client({ transport: (env, request, sink) => {
    calls.push(request.cursor);
    setImmediate(() => {
      sink.open();
      sink.frame({ type: 'weir.ready', id: id(0), own: true,
        data: '{"stream":"s","generation":"abc","verdict":"fresh"}' });
      sink.frame({ type: 'token', id: id(1), own: true, data: 'x' });
    });
    return { close: () => calls.push('close') };
  } }).connect();

  await settle();
  await settle();
  assert.equal(client.content, 'x');
  client.close();
  assert.deepEqual(calls, ['', 'close']);
});

test('a transport that throws at once is a failed attempt', async () => {
  const world = new World();
  const client = world.client({ transport: () => {
    throw new SyntaxError('no such URL');
  } }).connect();

  assert.equal(client.status, 'waiting');
  await world.clock.pass(3600000);
  assert.equal(client.end.kind, 'gave_up');
});

test('cursors are read as the library writes them', () => {
  assert.deepEqual(parseCursor('abc-12'), { epoch: 'abc', seq: 12 });
  assert.deepEqual(parseCursor('12'), { epoch: '', seq: 12 });
  ['', '-1', 'abc', 'abc-', 'ABC-1', 'abc-01', 'abc-1 ', '01', '1e3',
    'abcdefghijklmn-1', 'ab1-1', 'abc-9007199254740992',
  ].forEach((odd) => assert.equal(parseCursor(odd), null, odd));
});
