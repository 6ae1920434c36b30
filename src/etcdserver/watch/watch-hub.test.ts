/** What a watcher is told of a commit while it is up to date. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { Core } from '../core.ts';
import { rangeOf } from '../kv/range.ts';
import type { WatchOptions } from './watch-stream.ts';

const KEY = Buffer.from('a');
const NONE = new Uint8Array();

/** A core, and the events of a watcher of KEY as text: type, value, value before. */
async function watched(t: TestContext, options: Partial<WatchOptions>): Promise<[Core, string[]]> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-hub-'));
  const core = new Core({
    path: join(directory, 'store.db'),
    clock: systemClock,
    log: silentLogger,
    quota: undefined,
    progressMs: 600_000,
    onDiskFailed: error => assert.fail(error),
  });
  t.after(async () => {
    await core[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  await core.write(writer => writer.put(KEY, Buffer.from('first'), 0n));
  const seen: string[] = [];
  const stream = core.hub.open({
    writable: true,
    events(_watcher, _revision, events) {
      const text = (value: Uint8Array | undefined) => String(value && Buffer.from(value));
      for (const { type, kv, prevKv } of events) {
        seen.push(`${type} ${text(kv.value)} ${text(prevKv?.value)}`);
      }
    },
    progress: () => undefined,
    compacted: () => undefined,
    failed: error => assert.fail(String(error)),
  });
  const range = rangeOf(KEY, NONE);
  const plain = { noPut: false, noDelete: false, prevKv: false, fragment: false, progress: false };
  stream.add({ id: 1n, range, from: core.hub.revision + 1n, ...plain, ...options });
  return [core, seen];
}

test('the value before is that of the revision before, not one from the middle of a transaction', async t => {
  const [core, seen] = await watched(t, { prevKv: true });
  await core.write(writer => {
    writer.put(KEY, Buffer.from('second'), 0n);
    writer.put(KEY, Buffer.from('third'), 0n);
  });
  assert.deepEqual(seen, ['put second first', 'put third first']);
});

test('a watcher without deletions gets none, and one without puts gets nothing else', async t => {
  const [core, puts] = await watched(t, { noDelete: true });
  const [other, deletions] = await watched(t, { noPut: true });
  for (const one of [core, other]) {
    await one.write(writer => writer.put(KEY, Buffer.from('second'), 0n));
    await one.write(writer => writer.deleteRange(rangeOf(KEY, NONE)));
  }
  assert.deepEqual(puts, ['put second undefined']);
  assert.deepEqual(deletions, ['delete  undefined']);
});
