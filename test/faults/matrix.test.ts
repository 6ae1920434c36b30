/** The table in README.md is true: each test that it names is there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const read = (file: string) => readFileSync(join(import.meta.dirname, file), 'utf8');

test('every test that the table of faults names exists', () => {
  // The rows of faults found in use begin with an id; found-in-use.test.ts looks at those.
  const rows = [...read('README.md').matchAll(/^\| (?![A-I]\d+ ).*\| `([^`]+\.ts)` \| (.+) \|$/gm)];
  assert.ok(rows.length > 30, `${rows.length} rows`);
  for (const [, file = '', name = ''] of rows) {
    assert.ok(read(file).includes(name), `${file} has a test "${name}"`);
  }
});
