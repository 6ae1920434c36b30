import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StoreUpdate } from '../store/store.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryDatabase } from './memory-database.ts';
import { MemoryStore } from './memory-store.ts';
import { storeContract } from './store-contract.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function setUp() {
  const clock = new ManualClock();
  const database = new MemoryDatabase(clock);
  return { clock, database, store: new MemoryStore(database) };
}

/** An update in one line, as a test compares it. */
function describeUpdate(update: StoreUpdate): string {
  if (update.type === 'snapshot') {
    const kind = update.unrelated ? 'unrelated snapshot' : 'snapshot';
    return `${kind} ${update.kvs.map(kv => kv.key).join(' ')}`.trim();
  }
  if (update.type !== 'events') return update.type;
  return update.events
    .map(event => (event.type === 'put' ? `put ${event.kv.key}` : `delete ${event.key}`))
    .join(', ');
}

describe('the contract of every store', () => {
  for (const { name, run } of storeContract) {
    test(name, async () => {
      const { clock, database, store } = setUp();
      await run({
        store,
        connect: () => new MemoryStore(database),
        compact: () => Promise.resolve(database.compact()),
        pass: seconds => clock.advance(seconds * 1000),
      });
    });
  }
});

describe('faults', () => {
  test('a cut connection fails every call, and the others go on', async () => {
    const { database, store } = setUp();
    const other = new MemoryStore(database);
    store.cut();
    await assert.rejects(store.put('/a', bytes('1')), { code: 'UNAVAILABLE', retriable: true });
    await other.put('/a', bytes('2'));
    store.heal();
    assert.deepEqual((await store.get('/a')).kv?.value, bytes('2'));
  });

  test('an observer learns after an outage what it missed, or everything when history is gone', async () => {
    const { clock, database, store } = setUp();
    const other = new MemoryStore(database);
    const stop = new AbortController();
    const seen: string[] = [];
    const observing = (async () => {
      for await (const update of store.observe('/', { signal: stop.signal }))
        seen.push(describeUpdate(update));
    })();
    await clock.advance(0);
    store.cut();
    await other.put('/a', bytes('1'));
    store.heal();
    await clock.advance(0);
    assert.deepEqual(seen.splice(0), ['snapshot', 'interrupted', 'resumed', 'put /a']);

    store.cut();
    await other.delete('/a');
    await other.put('/b', bytes('1'));
    database.compact();
    store.heal();
    await clock.advance(0);
    assert.deepEqual(seen.splice(0), ['interrupted', 'resumed', 'snapshot /b']);

    database.reset();
    await clock.advance(0);
    assert.deepEqual(seen.splice(0), ['unrelated snapshot']);

    // Another cluster that has come further than the one that was seen last: its history is not ours.
    store.cut();
    database.reset();
    for (let round = 0; round < 10; round++) await other.put('/c', bytes('1'));
    store.heal();
    await clock.advance(0);
    assert.deepEqual(seen.splice(0), ['interrupted', 'resumed', 'unrelated snapshot /c']);
    stop.abort();
    await observing;
  });

  test('a refused call did nothing, one whose answer was lost did', async () => {
    const { store } = setUp();
    store.interfere(op => (op === 'put' ? 'refuse' : 'pass'));
    await assert.rejects(store.put('/a', bytes('1')), { code: 'UNAVAILABLE' });
    assert.equal((await store.get('/a')).kv, undefined);
    store.interfere(op => (op === 'put' ? 'lose answer' : 'pass'));
    await assert.rejects(store.put('/a', bytes('1')), { code: 'UNAVAILABLE' });
    assert.deepEqual((await store.get('/a')).kv?.value, bytes('1'));
  });

  test('after a reset leases and keys are gone, and revisions begin anew', async () => {
    const { database, store } = setUp();
    const { id } = await store.grant(60);
    await store.put('/a', bytes('1'), { lease: id });
    database.reset();
    assert.equal(await store.keepAlive(id), undefined);
    assert.equal((await store.get('/a')).revision, 1n);
    assert.notEqual((await store.grant(60)).id, id);
  });

  test('a closed connection ends its observers and fails its calls', async () => {
    const { store } = setUp();
    const observing = Array.fromAsync(store.observe('/', { signal: new AbortController().signal }));
    await Promise.resolve();
    await store[Symbol.asyncDispose]();
    assert.deepEqual((await observing).map(describeUpdate), ['snapshot']);
    await assert.rejects(store.get('/a'), { code: 'UNAVAILABLE' });
  });
});
