/* The decoder against every vector. SPDX-License-Identifier: MIT */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { Decoder } from '../../examples/server/page/weir-transport.js';

const file = new URL('../vectors/decode.jsonl', import.meta.url);
const vectors = readFileSync(file, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line));

/* Decode bytes that come in pieces which end at these places. */
function decode(bytes, ends) {
  const got = { events: [], retry: undefined };
  const decoder = new Decoder({
    frame: (frame) =>
      got.events.push({ event: frame.type, data: frame.data, id: frame.id }),
    retry: (ms) => (got.retry = ms),
  });
  let from = 0;

  ends.concat(bytes.length).forEach((end) => {
    decoder.push(bytes.subarray(from, end));
    from = end;
  });
  got.lastId = decoder.lastId;
  return got;
}

function check(vector, ends) {
  const bytes = new Uint8Array(Buffer.from(vector.input_base64, 'base64'));
  const got = decode(bytes, ends || [...bytes.keys()].slice(1));

  assert.deepEqual(got.events, vector.expect);
  assert.equal(got.lastId, vector.last_id);
  if (vector.retry !== undefined) {
    assert.equal(got.retry, vector.retry);
  }
}

test('there are vectors', () => {
  assert.ok(vectors.length > 300);
});

vectors.forEach((vector) => {
  test(`${vector.source}: ${vector.name}`, () => {
    check(vector, []);
    check(vector, vector.chunks || []);
    check(vector, null); /* byte by byte */
  });
});

test('own says whether the very block brought its id', () => {
  const got = [];
  const decoder = new Decoder({ frame: (frame) => got.push(frame.own) });

  decoder.push(
    new TextEncoder().encode(
      'id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid: 3\ndata: d\n\n'
    )
  );
  assert.deepEqual(got, [true, false, false, true]);
});

test('a decoder that goes on knows the id it goes on from', () => {
  const got = [];
  const decoder = new Decoder({ frame: (frame) => got.push(frame.id) }, 'abc-7');

  decoder.push(new TextEncoder().encode('\n\ndata: a\n\n'));
  assert.deepEqual(got, ['abc-7']);
  assert.equal(decoder.lastId, 'abc-7');
});

test('a line of a megabyte in pieces of a byte is not slow', () => {
  const got = [];
  const decoder = new Decoder({ frame: (frame) => got.push(frame.data) });
  const piece = new TextEncoder().encode('x');

  decoder.push(new TextEncoder().encode('data:'));
  for (let i = 0; i < 1 << 20; ++i) {
    decoder.push(piece);
  }
  decoder.push(new TextEncoder().encode('\n\n'));
  assert.equal(got[0].length, 1 << 20);
});
