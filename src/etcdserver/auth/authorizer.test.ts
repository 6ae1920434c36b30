/** What an Authorizer is notified of: it must know what the store has, whether the writes before succeeded or failed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Core } from '../core.ts';
import type { Kv } from '../sqlite/tables.ts';
import type { Authorizer } from './authorizer.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const text = (value: Uint8Array) => Buffer.from(value).toString();

/** Records the calls. */
function recordingAuthorizer() {
  const known = new Map<string, string>();
  const take = (kv: Kv) => known.set(text(kv.key), text(kv.value));
  const authorizer: Authorizer = {
    organization: 'restricted',
    storeLeases: { most: 1, longest: 1n },
    keys: { start: bytes('a'), end: bytes('c') },
    reset(kvs) {
      known.clear();
      for (const kv of kvs) take(kv);
    },
    follow: ({ type, kv }) => (type === 'put' ? take(kv) : known.delete(text(kv.key))),
    refuses: () => undefined,
    owns: () => false,
  };
  return { authorizer, known };
}

test('D2: an authorizer knows what is there at the start, after a change, and after one that was undone', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-authorizer-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const open = (authorizer: Authorizer) =>
    new Core({
      path: join(directory, 'store.db'),
      clock: new ManualClock(),
      log: silentLogger,
      quota: undefined,
      progressMs: 600_000,
      onDiskFailed: assert.ifError,
      authorizer,
    });
  const put = (core: Core, key: string, value: string) =>
    core.write(writer => writer.put(bytes(key), bytes(value), 0n));
  {
    await using core = open(recordingAuthorizer().authorizer);
    await put(core, 'a', '1');
    await put(core, 'c', 'beyond its keys');
  }
  const { authorizer, known } = recordingAuthorizer();
  await using core = open(authorizer);
  assert.deepEqual([...known], [['a', '1']]);
  await put(core, 'b', '2');
  assert.equal(known.get('b'), '2');

  // Two of one group, of which the second fails after it has written: both are undone.
  const first = put(core, 'b', '3');
  const second = core.write(writer => {
    writer.put(bytes('a'), bytes('4'), 0n);
    throw new Error('a defect');
  });
  const outcomes = await Promise.allSettled([first, second]);
  assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  assert.deepEqual(Object.fromEntries(known), { a: '1', b: '2' });
  await core.write(writer => writer.deleteRange({ start: bytes('a'), end: bytes('b'), single: false }));
  assert.deepEqual([...known], [['b', '2']]);
});
