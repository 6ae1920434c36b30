import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { writeFileAtomic } from './file.ts';
import { waitForFile } from './wait-file.ts';

describe('waitForFile', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-wait-'));
  const never = new AbortController().signal;
  after(() => rmSync(directory, { recursive: true }));

  test('sees what is there already', async () => {
    const path = join(directory, 'old');
    writeFileSync(path, 'text');
    assert.equal(await waitForFile(path, never), 'text');
  });

  test('sees a file that is moved into place, and not its neighbors', async () => {
    const path = join(directory, 'subnet.env');
    const waiting = waitForFile(path, never);
    writeFileSync(join(directory, 'other'), 'no');
    await writeFileAtomic(path, 'yes');
    assert.equal(await waiting, 'yes');
  });

  test('follows a growing file until it says the right thing', async () => {
    const path = join(directory, 'log');
    const waiting = waitForFile(path, never, text => text.includes('ready'));
    for (const word of ['one\n', 'two\n', 're', 'ady\n']) appendFileSync(path, word);
    assert.match(await waiting, /ready/);
  });

  test('gives up when it is aborted', async () => {
    const reason = new Error('enough');
    const stop = new AbortController();
    const waiting = waitForFile(join(directory, 'never'), stop.signal);
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(waitForFile(join(directory, 'never'), stop.signal), reason);
  });
});
