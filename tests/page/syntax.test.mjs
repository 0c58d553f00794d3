/* R78: the page's modules keep to ES2019. SPDX-License-Identifier: MIT */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../../examples/server/page/', import.meta.url);
const modules = readdirSync(folder).filter((name) => name.endsWith('.js'));

/* node carries a parser of its own that knows the years. */
const parse = `
  const parser = require('internal/deps/acorn/acorn/dist/acorn');
  const text = require('fs').readFileSync(0, 'utf8');
  parser.parse(text, { ecmaVersion: 2019, sourceType: 'module' });
`;

function parses(text) {
  return spawnSync(
    process.execPath,
    ['--expose-internals', '--no-warnings', '-e', parse],
    { input: text, encoding: 'utf8' }
  );
}

/* What came after 2019, by name. */
const young = new RegExp(
  [
    /\.(findLast|findLastIndex|toSorted|toReversed|toSpliced|with|at)\(/,
    /\.(replaceAll|matchAll|isWellFormed)\(/,
    /\bObject\.(hasOwn|groupBy)\b/,
    /\bPromise\.(allSettled|any|withResolvers|try)\b/,
    /\bAbortSignal\.(any|timeout)\b/,
    /\b(globalThis|structuredClone|BigInt|WeakRef|reportError)\b/,
  ]
    .map((one) => one.source)
    .join('|')
);

const code = (text) =>
  text.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');

test('R78 the lint sees what it should', () => {
  assert.notEqual(parses('a?.b').status, 0);
  assert.notEqual(parses('a ?? b').status, 0);
  assert.notEqual(parses('class A { #b }').status, 0);
  assert.notEqual(parses('class A { b = 1 }').status, 0);
  assert.notEqual(parses('import("x")').status, 0);
  assert.equal(parses('async () => { for await (const a of b) { } }').status, 0);
  assert.match('list.findLast(f)', young);
  assert.match('list.at(-1)', young);
  assert.doesNotMatch('list.attach(1)', young);
  assert.doesNotMatch(code('/* list.at(-1) */'), young);
});

modules.forEach((name) => {
  test(`R78 ${name} is ES2019`, () => {
    const text = readFileSync(new URL(name, folder), 'utf8');
    const result = parses(text);

    assert.equal(result.status, 0, result.stderr);
    assert.doesNotMatch(code(text), young);
  });

  test(`R78 ${name} loads nothing from elsewhere`, () => {
    const text = code(readFileSync(new URL(name, folder), 'utf8'));
    const imports = text.match(/from '[^']*'/g) || [];

    imports.forEach((one) => assert.match(one, /^from '\.\/[a-z-]+\.js'$/));
    assert.doesNotMatch(text, /https?:\/\//);
  });
});
