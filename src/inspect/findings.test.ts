/** docs/reference/findings.md has the codes that checks give, and no others. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const rows = (path: string) =>
  [...read(path).matchAll(/^\| `([A-Z][A-Z0-9_]+)` \|/gm)].flatMap(([, code = '']) => code);

const sources = readdirSync(join(ROOT, 'src/inspect'), { recursive: true, encoding: 'utf8' })
  .filter(name => /^(check|checks|drops)\/.*\.ts$/.test(name) && !name.endsWith('.test.ts'))
  .map(name => read(`src/inspect/${name}`));

test('each code that a check gives is documented', () => {
  const documented = new Set([...rows('docs/reference/findings.md'), ...rows('docs/reference/warnings.md')]);
  const given = sources.flatMap(text =>
    [...text.matchAll(/\bcode: '([A-Z][A-Z0-9_]+)'/g)].flatMap(([, code = '']) => code),
  );
  assert.ok(given.length > 50, 'codes are found');
  assert.deepEqual([...new Set(given)].filter(code => !documented.has(code)).sort(), []);
});

test('each code that is documented is given by a check', () => {
  const text = sources.join('\n');
  assert.deepEqual(
    rows('docs/reference/findings.md').filter(code => !text.includes(`'${code}'`)),
    [],
  );
});
