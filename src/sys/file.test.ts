import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { removeUnfinished, writeFileAtomic } from './file.ts';

describe('writeFileAtomic', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-file-'));
  after(() => rmSync(directory, { recursive: true }));

  test('makes directories and gives the mode asked for, whatever the umask', async () => {
    const path = join(directory, 'a/b/c.env');
    const before = process.umask(0o077);
    try {
      await writeFileAtomic(path, 'one\n', { mode: 0o640 });
    } finally {
      process.umask(before);
    }
    assert.equal(readFileSync(path, 'utf8'), 'one\n');
    assert.equal(statSync(path).mode & 0o777, 0o640);
  });

  test('replaces what is there, also when that is longer or read-only', async () => {
    const path = join(directory, 'replace');
    writeFileSync(path, 'something long', { mode: 0o444 });
    await writeFileAtomic(path, 'short');
    assert.equal(readFileSync(path, 'utf8'), 'short');
    assert.equal(statSync(path).mode & 0o777, 0o644);
  });

  test('what a killed writer left is removed, and nothing else', async () => {
    const path = join(directory, 'unfinished/target');
    await writeFileAtomic(path, 'whole');
    for (const name of ['.target.3f2a', '.target', '.other.3f2a', 'target.3f2a']) {
      writeFileSync(join(directory, 'unfinished', name), 'half');
    }
    await removeUnfinished(path);
    assert.deepEqual(readdirSync(join(directory, 'unfinished')).sort(), [
      '.other.3f2a',
      '.target',
      'target',
      'target.3f2a',
    ]);
    await removeUnfinished(join(directory, 'nowhere/target'));
  });

  test('leaves nothing behind when it fails', async () => {
    const path = join(directory, 'failing/target');
    mkdirSync(join(path, 'full'), { recursive: true });
    await assert.rejects(writeFileAtomic(path, 'x'), { code: 'EISDIR' });
    assert.deepEqual(readdirSync(join(directory, 'failing')), ['target']);
  });
});
