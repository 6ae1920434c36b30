import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ManualClock } from '../../testing/manual-clock.ts';
import { rangeOf } from '../kv/range.ts';
import { Mvcc } from '../mvcc/mvcc.ts';
import { Database } from '../sqlite/database.ts';
import { Tables } from '../sqlite/tables.ts';
import { Lessor } from './lessor.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tt-lessor-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A store that runs until it is disposed of; the next one finds what it wrote. */
function open(clock = new ManualClock()) {
  const database = Database.open(join(directory, 'x.db'));
  const tables = new Tables(database);
  return {
    clock,
    tables,
    lessor: new Lessor(database, tables, clock),
    [Symbol.dispose]: () => database[Symbol.dispose](),
  };
}

test('a lease keeps the time it had left while the store is down', async () => {
  {
    using store = open();
    store.lessor.grant(1n, 100n);
    store.lessor.grant(2n, 100n);
    await store.clock.advance(60_000);
    store.lessor.keepAlive(2n);
    store.lessor.checkpoint();
    await store.clock.advance(3_000); // lost with the crash
  }
  // A month later.
  using store = open(new ManualClock(Date.UTC(2026, 1, 1)));
  assert.deepEqual(store.lessor.timeToLive(1n), { remaining: 40n, granted: 100n });
  assert.deepEqual(store.lessor.timeToLive(2n), { remaining: 100n, granted: 100n });
  await store.clock.advance(41_000);
  assert.deepEqual(store.lessor.due(), [1n]);
  await store.clock.advance(60_000);
  assert.deepEqual(store.lessor.due(), [1n, 2n], 'named until revoked');
});

test('D2: whose a lease is outlives a restart, and a renewal', async () => {
  {
    using store = open();
    store.lessor.grant(1n, 100n, 'anna');
    store.lessor.grant(2n, 100n, 'anna');
    store.lessor.grant(3n, 100n);
    store.lessor.keepAlive(1n);
    store.lessor.checkpoint();
  }
  using store = open();
  assert.deepEqual(
    [1n, 2n, 3n, 4n].map(id => store.lessor.ownerOf(id)),
    ['anna', 'anna', undefined, undefined],
  );
  assert.equal(store.lessor.countOf('anna'), 2);
});

for (const [what, jump, remaining] of [
  ['back', -10_000_000, 100n],
  ['ahead', 10_000_000, 2n],
] as const) {
  test(`a wall clock that was set ${what} between two checkpoints gives no lease a time it never had`, () => {
    const epoch = Date.UTC(2026, 0, 1);
    {
      using store = open(new ManualClock(epoch));
      store.lessor.grant(1n, 100n);
      store.tables.setMeta('alive_at', BigInt(epoch + jump));
    }
    using store = open();
    assert.deepEqual(store.lessor.timeToLive(1n), { remaining, granted: 100n });
  });
}

test('a lease is granted long enough for an answer to arrive', () => {
  using store = open();
  assert.equal(store.lessor.grant(1n, 1n), 2n);
  assert.equal(store.lessor.grant(2n, 0n), 2n);
  assert.equal(store.lessor.grant(3n, 3n), 3n);
  assert.throws(() => store.lessor.grant(4n, 9_000_000_001n), /too large lease TTL/);
});

test('a lease whose time is over cannot be kept alive, though nobody has revoked it yet', async () => {
  using store = open();
  store.lessor.grant(1n, 10n);
  await store.clock.advance(9_999);
  assert.equal(store.lessor.keepAlive(1n), 10n);
  await store.clock.advance(10_000);
  assert.equal(store.lessor.has(1n), true);
  assert.equal(store.lessor.keepAlive(1n), undefined);
});

test('a lease that ends takes its keys with it in one revision, in the order of the keys', () => {
  using store = open();
  const mvcc = new Mvcc(store.tables);
  store.lessor.grant(7n, 10n);
  const writer = mvcc.write();
  for (const key of ['b', 'a', 'c']) writer.put(bytes(key), bytes('x'), key === 'c' ? 0n : 7n);
  mvcc.finish(writer);
  const ending = mvcc.write();
  store.lessor.revoke(7n, ending);
  const commit = mvcc.finish(ending);
  assert.deepEqual(
    commit?.changes.map(({ type, kv }) => [type, Buffer.from(kv.key).toString(), kv.modRevision]),
    [
      ['delete', 'a', 3n],
      ['delete', 'b', 3n],
    ],
  );
  const everything = {
    range: rangeOf(bytes('a'), bytes('\0')),
    revision: 0n,
    limit: 0n,
    keysOnly: true,
    countOnly: true,
  };
  assert.equal(mvcc.range(everything).count, 1n);
});
