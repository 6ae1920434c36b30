import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { BookFile } from './book-file.ts';

test('a line that cannot be read costs what it says, is told, and is kept beside', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-book-'));
  t.after(() => rm(directory, { recursive: true }));
  const open = async () => {
    const file = new BookFile(directory, { name: 'blue', id: '9f0c41d2a7e35b68' });
    t.after(() => file.close());
    return { file, ...(await file.open()) };
  };
  const give = (at: number) => ({
    ip: Ip.parse(`10.9.1.${at}`),
    mac: Mac.fromKey(at),
    container: `c${at}`,
  });
  const first = await open();
  for (const at of [2, 3, 4]) first.book.give(give(at));
  await first.file.save();
  await first.file.close();
  const { path } = first.file;
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^.*"c3".*$/m, '{"ip":"10.9.1.3","mac":"01:00:00:00:00:01"}'));

  const second = await open();
  const ipsOf = ({ book }: typeof second) => book.addresses().map(({ ip }) => `${ip}`);
  assert.deepEqual(ipsOf(second), ['10.9.1.2', '10.9.1.4']);
  assert.match(
    String(second.lost),
    /line 3\.ip = "10\.9\.1\.3": or mac, container or engine is missing or wrong/,
  );
  assert.match(await readFile(`${path}.damaged`, 'utf8'), /01:00:00:00:00:01/);
  second.book.give(give(5));
  await second.file.save();
  await second.file.close();

  // The next change has written it anew, without that line.
  const third = await open();
  assert.equal(third.lost, undefined);
  assert.deepEqual(ipsOf(third), ['10.9.1.2', '10.9.1.4', '10.9.1.5']);
});
