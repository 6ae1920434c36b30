import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { Journal } from './journal.ts';

async function setUp(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-journal-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'below', 'journal');
}

test('what was added is read by the next one, and a line that was cut off is not', async t => {
  const path = await setUp(t);
  const all: string[] = [];
  await using first = new Journal(path, () => all);
  assert.deepEqual(await first.read(), []);
  await Promise.all(['a', 'b', 'c'].map(line => first.add([line])));
  await appendFile(path, 'half of a li');
  await using second = new Journal(path, () => ['a', 'c', 'd']);
  assert.deepEqual(await second.read(), ['a', 'b', 'c']);
  await second.add(['d']);
  assert.equal(await readFile(path, 'utf8'), 'a\nc\nd\n');
});

test('the file stays as long as what there is, whatever came and went', async t => {
  const path = await setUp(t);
  const all = new Map<string, string>();
  await using journal = new Journal(path, () => [...all.values()]);
  for (let change = 0; change < 3000; change++) {
    all.set(`${change % 7}`, `${change % 7}=${change}`);
    await journal.add([`${change % 7}=${change}`]);
  }
  const lines = (await readFile(path, 'utf8')).split('\n');
  assert.ok(lines.length < 600, `${lines.length}`);
  assert.equal(lines.at(-2), '3=2999');
});

test('a file that cannot be written is written in full as soon as it can', async t => {
  const path = await setUp(t);
  const all: string[] = [];
  await using journal = new Journal(`${path}/not-a-directory`, () => all);
  await using other = new Journal(path, () => ['in the way']);
  await other.add(['in the way']);
  all.push('a');
  await assert.rejects(journal.add(['a']));
  await rm(path);
  all.push('b');
  await journal.add(['b']);
  assert.equal(await readFile(journal.path, 'utf8'), 'a\nb\n');
});

test('a prefix of the file is a prefix of what was added', async t => {
  const path = await setUp(t);
  const lines = fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 8 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(lines, fc.nat(100), async (added, cut) => {
      await rm(path, { force: true });
      await using journal = new Journal(path, () => added);
      for (const line of added) await journal.add([line]);
      if (added.length === 0) return;
      const { length } = await readFile(path);
      await truncate(path, Math.min(cut, length));
      await using again = new Journal(path, () => added);
      const read = await again.read();
      assert.deepEqual(read, added.slice(0, read.length));
    }),
  );
});
