/** The table of faults found in use (README.md) names a test for each, and the test names the fault. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const README = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');

/** One row of the table; a fault with several tests has several rows. */
const rows = Array.from(
  README.matchAll(/^\| ([A-I]\d+) \| ([^|]+) \| `([^`]+)` \| ([^|]+) \| ([^|]*) \|$/gm),
  ([, id = '', , file = '', title = '']) => ({ id, file, title: title.trim() }),
);

test('every test of a fault found in use is where the table says, and names the fault', () => {
  const missing = rows.filter(({ id, file, title }) => {
    const source = readFileSync(join(import.meta.dirname, file), 'utf8');
    return !source.includes(title) || !new RegExp(`\\b${id}\\b`).test(source);
  });
  assert.deepEqual(missing, []);
});

test('every row of the table is understood', () => {
  const written = README.match(/^\| [A-I]\d+ /gm) ?? [];
  assert.equal(rows.length, written.length);
});
