/* The page's words and numbers, and what its files must not hold.
 * SPDX-License-Identifier: MIT */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import {
  Story, ending, sayConnected, sayEnd, sayReplayed, sayRestored, sayStalled,
  sayWaiting, seqOf, shorten,
} from '../../examples/server/page/story.js';

const folder = new URL('../../examples/server/page/', import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), 'utf8');
const event = (seq) => ({ id: `abc-${seq}`, seq, type: 'token', data: `${seq}` });

/* A connection that brings events from .. to. */
function connect(story, verdict, cursor, from, to) {
  story.ask(0, cursor);
  story.accept({ verdict, id: `abc-${from - 1}` });
  for (let seq = from; seq <= to; ++seq) {
    story.add(event(seq));
  }
  return story.link;
}

test('R72 the reader is told of a loss, and of the return', () => {
  const story = new Story();
  const wait = { cause: 'dropped', delay: 1234, failures: 0 };

  connect(story, 'fresh', '', 1, 41);
  assert.equal(
    sayWaiting(wait, 'abc-41', ''),
    'Connection lost: the line broke. This page has everything up to event 41, and asks for the rest in 1.2 s.'
  );
  story.lose(9, ending('dropped', ''));
  const link = connect(story, 'resumed', 'abc-41', 42, 60);

  story.knowHead(link, 53);
  assert.equal(
    sayReplayed(link),
    'Back, after event 41. The 12 events that had been missed came first, each once.'
  );
  assert.deepEqual([story.events, story.replayed, story.live], [60, 12, 48]);
});

test('what was replayed is known when the server has said how far it was', () => {
  const story = new Story();
  const link = connect(story, 'resumed', 'abc-3', 4, 6);

  assert.deepEqual([6, 7].map((seq) => story.came({ ...event(seq), link: 1 })), ['live', 'live']);
  story.knowHead(link, 6);
  story.add(event(7));
  assert.deepEqual([6, 7].map((seq) => story.came({ ...event(seq), link: 1 })), ['replayed', 'live']);
  assert.deepEqual([link.replayed, link.events], [3, 4]);

  story.knowHead(link, 7); /* one answer is enough */
  assert.equal(link.replayed, 3);
});

test('until then what came at once with `ready` passes for it', () => {
  const story = new Story();

  story.ask(0, 'abc-3');
  story.accept({ verdict: 'resumed', id: 'abc-3' }, 1000);
  [4, 5, 6].forEach((seq) => story.add(event(seq), 1001));
  [7, 8].forEach((seq) => story.add(event(seq), 3000));
  const came = () => [4, 6, 7].map((seq) => story.came({ ...event(seq), link: 1 }));

  assert.deepEqual(came(), ['replayed', 'replayed', 'live']);
  assert.deepEqual([story.replayed, story.live], [3, 2]);
  story.knowHead(story.link, 5);
  assert.deepEqual(came(), ['replayed', 'live', 'live']);
  assert.deepEqual([story.replayed, story.live], [2, 3]);
});

test('what comes at once is live if the server says that it was not there', () => {
  const story = new Story();

  story.ask(0, 'abc-3');
  story.accept({ verdict: 'resumed', id: 'abc-3' }, 1000);
  story.knowHead(story.link, 3);
  story.add(event(4), 1001);
  assert.deepEqual([story.replayed, story.live], [0, 1]);
});

test('an answer about a connection to what was forgotten counts for nothing', () => {
  const story = new Story();
  const link = connect(story, 'fresh', '', 1, 5);

  story.forget();
  story.knowHead(link, 5);
  assert.equal(story.replayed, 0);
});

test('an answer that comes after the next connection is still about its own', () => {
  const story = new Story();
  const first = connect(story, 'fresh', '', 1, 5);
  const second = connect(story, 'resumed', 'abc-5', 6, 9);

  story.knowHead(second, 8);
  story.knowHead(first, 2);
  assert.deepEqual([first.replayed, second.replayed], [2, 3]);
  assert.equal(story.replayed, 5);
});

test('more may be there than has come: the rest is replayed when it comes', () => {
  const story = new Story();
  const link = connect(story, 'resumed', 'abc-0', 1, 2);

  story.knowHead(link, 4);
  assert.equal(link.replayed, 2);
  [3, 4, 5].forEach((seq) => story.add(event(seq)));
  assert.deepEqual([link.replayed, story.live], [4, 1]);
});

test('what a reload has kept is neither', () => {
  assert.equal(new Story().came({ seq: 3, link: 0 }), 'kept');
});

test('an old answer is forgotten, its connections are not', () => {
  const story = new Story();

  connect(story, 'fresh', '', 1, 3);
  story.forget();
  assert.equal(story.events, 0);
  assert.equal(story.rows.length, 0);
  assert.equal(story.links.length, 1);
});

test('rows are bounded, numbers are not', () => {
  const story = new Story();

  connect(story, 'fresh', '', 1, 1000);
  assert.equal(story.events, 1000);
  assert.equal(story.written, 1000);
  assert.equal(story.rows.length, 400);
});

test('ids are shortened to what one reads', () => {
  assert.equal(shorten('fa27zpxusy4q2-41'), 'fa27\u2026-41');
  assert.equal(shorten('41'), '41');
  assert.equal(shorten('not.a.cursor'), 'not.a.cursor');
  assert.equal(seqOf('fa27zpxusy4q2-41'), 41);
  assert.equal(seqOf(''), 0);
});

/* Every sentence that the page can say. */
function sentences() {
  const link = (verdict, more) => ({ verdict, cursor: 'abc-4', first: 1, replayed: 0, ...more });
  const wait = { cause: 'silence', delay: 900, failures: 3 };
  const verdicts = ['fresh', 'resumed', 'evicted', 'ahead', 'rewound', 'foreign', 'malformed'];
  const ends = [
    { kind: 'done', reason: 'complete' }, { kind: 'done', reason: 'cancelled' },
    { kind: 'done', reason: 'replaced_by_new_stream' }, { kind: 'done', reason: 'length' },
    { kind: 'failed', code: 'idle_timeout', message: '' },
    { kind: 'failed', code: 'gone', message: 'It is gone.' },
    { kind: 'finished', status: 204 }, { kind: 'refused', status: 404 },
    { kind: 'refused', status: 403 }, { kind: 'gave_up', failures: 5, cause: 'dropped' },
  ];

  return [
    ...verdicts.map((verdict) => sayConnected(link(verdict))),
    ...verdicts.map((verdict) => sayReplayed(link(verdict, { replayed: 3 }))),
    sayReplayed(link('resumed')), sayReplayed(link('resumed', { replayed: 1 })),
    sayReplayed(link('fresh', { first: 9 })),
    ...['', 'replaced', 'draining', 'unavailable', 'expired'].map((one) =>
      sayWaiting(wait, 'abc-4', one)),
    sayWaiting({ ...wait, delay: 0 }, 'abc-4', ''),
    ...ends.map(sayEnd), ...ends.map(sayRestored), sayRestored(null), sayStalled(10000),
  ];
}

test('every sentence is one', () => {
  sentences().forEach((sentence) => {
    assert.match(sentence, /^[A-Z0-9].*\.$/, sentence);
    assert.doesNotMatch(sentence, /undefined|null|NaN|!| {2}/, sentence);
  });
});

test('a fourth attempt is called that', () => {
  assert.match(sayWaiting({ cause: 'silence', delay: 900, failures: 3 }, 'abc-4', ''), /attempt 4/);
});

/* ---- the files ---- */

test('the page keeps to its Content-Security-Policy', () => {
  const html = read('index.html');

  assert.doesNotMatch(html, /<script(?![^>]*src=)/);
  assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=/);
  assert.doesNotMatch(html, /(src|href)="(?!\/|#)/);
  assert.doesNotMatch(read('page.css'), /url\(|@import/);
  readdirSync(folder).filter((name) => name.endsWith('.js')).forEach((name) => {
    assert.doesNotMatch(read(name), /innerHTML|\beval\(|new Function/, name);
  });
});

test('the page shouts at nobody', () => {
  const words = read('index.html').replace(/<!doctype/i, '').replace(/<[^>]*>/g, '');

  assert.doesNotMatch(words, /!/);
});

test('what a driver is promised is there', () => {
  const html = read('index.html');
  const head = read('page.js').split('*/')[0];
  const names = (about) => head.match(about)[1].replace(/[*\s]+/g, ' ').split(',');

  names(/data-test="\.\.\." ([^]*?)\n \* {3}data-act/).forEach((name) =>
    assert.ok(html.includes(`data-test="${name.trim()}"`), name));
  names(/data-act="\.\.\." ([^]*?)\n \* {3}window/).forEach((name) =>
    assert.ok(html.includes(`data-act="${name.trim()}"`), name));
});

test('what the page looks for is there', () => {
  const html = read('index.html');

  ['page.js', 'view.js'].forEach((file) => {
    const names = read(file).match(/spot\('[^']*'\)/g);

    names.forEach((one) =>
      assert.ok(html.includes(`data-test="${one.slice(6, -2)}"`), one));
  });
});
