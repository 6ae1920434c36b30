import assert from 'node:assert/strict';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { MemoryStore } from '../testing/memory-store.ts';
import { fc } from '../testing/properties.ts';
import { CachedStore } from './cached-store.ts';
import type { KeyValue, StoreUpdate } from './store.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

const cached = (key: string, value: string): KeyValue => ({
  key,
  value: bytes(value),
  createRevision: 1n,
  modRevision: 1n,
  version: 1n,
  lease: 0n,
});

const text = (update: StoreUpdate): string => {
  const show = ({ key, value }: KeyValue) => `${key}=${new TextDecoder().decode(value)}`;
  if (update.type === 'snapshot') {
    return `${update.unrelated ? 'unrelated ' : ''}snapshot ${update.kvs.map(show).join(' ')}`;
  }
  if (update.type !== 'events') return update.type;
  return update.events.map(event => (event.type === 'put' ? show(event.kv) : `-${event.key}`)).join(' ');
};

/** Takes updates one by one; `next` waits for one. */
function observe(store: CachedStore, prefix: string) {
  const stop = new AbortController();
  const updates = store.observe(prefix, { signal: stop.signal });
  return {
    next: async () => {
      const { value, done } = await within('the next update comes', updates.next());
      return done === true ? 'end' : text(value);
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await updates.return(undefined);
    },
  };
}

const open = (inner: MemoryStore, known: KeyValue[] = []) => {
  let changes = 0;
  const store = new CachedStore(inner, { cached: known, onChange: () => changes++ });
  const shown = () =>
    Array.from(store.cached(), kv => text({ type: 'snapshot', revision: 0n, kvs: [kv] }).slice(9));
  return { store, shown, changes: () => changes };
};

test('an observer that starts during an outage gets the cached state, then the present one', async () => {
  const inner = new MemoryStore();
  await inner.put('/n/subnets/b', bytes('new'));
  inner.cut();
  const { store, shown } = open(inner, [cached('/n/subnets/a', 'old'), cached('/n/config', 'c')]);
  await using observer = observe(store, '/n/subnets');
  assert.equal(await observer.next(), 'snapshot /n/subnets/a=old');
  assert.equal(store.stale, true);
  assert.equal(await observer.next(), 'interrupted');
  inner.heal();
  const next = await observer.next();
  const then = next === 'resumed' ? await observer.next() : next;
  assert.equal(then, 'snapshot /n/subnets/b=new');
  assert.equal(store.stale, false);
  assert.deepEqual(shown().sort(), ['/n/config=c', '/n/subnets/b=new']);
});

test('a store that is behind what is remembered has forgotten something', async () => {
  const inner = new MemoryStore();
  inner.cut();
  const old = { ...cached('/n/subnets/a', 'old'), modRevision: 900n };
  const { store } = open(inner, [old, cached('/n/config', 'c')]);
  await using leases = observe(store, '/n/subnets');
  await using config = observe(store, '/n/config');
  for (const observer of [leases, config]) {
    await observer.next();
    await observer.next();
  }
  inner.heal();
  assert.deepEqual([await leases.next(), await leases.next()], ['resumed', 'unrelated snapshot ']);
  assert.deepEqual([await config.next(), await config.next()], ['resumed', 'unrelated snapshot ']);
});

test('a store that has forgotten something answers at once: what is remembered comes first all the same', async () => {
  const inner = new MemoryStore();
  const old = { ...cached('/n/subnets/a', 'old'), modRevision: 900n };
  const { store, shown } = open(inner, [old, cached('/n/config', 'c')]);
  await using leases = observe(store, '/n/subnets');
  await using config = observe(store, '/n/config');
  assert.deepEqual(
    [await leases.next(), await leases.next()],
    ['snapshot /n/subnets/a=old', 'unrelated snapshot '],
  );
  assert.deepEqual(
    [await config.next(), await config.next()],
    ['snapshot /n/config=c', 'unrelated snapshot '],
  );
  assert.equal(store.stale, false);
  assert.deepEqual(shown(), []);
});

test('a store that answers is never second-guessed', async () => {
  const inner = new MemoryStore();
  const { store, shown, changes } = open(inner, [cached('/n/subnets/a', 'old')]);
  await using observer = observe(store, '/n/subnets');
  assert.equal(await observer.next(), 'snapshot ');
  assert.deepEqual(shown(), []);
  await store.put('/n/subnets/x', bytes('1'));
  assert.equal(await observer.next(), '/n/subnets/x=1');
  assert.deepEqual(shown(), ['/n/subnets/x=1']);
  await store.delete('/n/subnets/x');
  assert.equal(await observer.next(), '-/n/subnets/x');
  assert.deepEqual(shown(), []);
  assert.equal(changes(), 3);
});

test('an outage later on brings nothing up from memory again', async () => {
  const inner = new MemoryStore();
  const { store } = open(inner, [cached('/n/subnets/a', 'old')]);
  await using observer = observe(store, '/n/subnets');
  assert.equal(await observer.next(), 'snapshot ');
  inner.cut();
  assert.equal(await observer.next(), 'interrupted');
  assert.equal(store.stale, false);
});

test('contact is lost while one observer is without, and its last error is kept', async () => {
  const inner = new MemoryStore();
  const { store } = open(inner);
  assert.equal(store.contact.value.connected, undefined);
  await using one = observe(store, '/n/subnets');
  await using other = observe(store, '/n/config');
  await one.next();
  await other.next();
  assert.equal(store.contact.value.connected, true);
  inner.cut();
  await one.next();
  assert.equal(store.contact.value.connected, false);
  assert.equal(store.contact.value.error?.code, 'UNAVAILABLE');
  await other.next();
  inner.heal();
  await one.next();
  assert.equal(store.contact.value.connected, false);
  await other.next();
  assert.equal(store.contact.value.connected, true);
  assert.equal(store.contact.value.error?.code, 'UNAVAILABLE');
  const revision = await store.put('/n/subnets/x', bytes('1'));
  await one.next();
  assert.equal(store.contact.value.revision, revision);
});

test('nothing remembered is not the same as an empty store', async () => {
  const inner = new MemoryStore();
  inner.cut();
  const { store } = open(inner);
  await using observer = observe(store, '/n/subnets');
  assert.equal(await observer.next(), 'interrupted');
});

test('what is remembered comes back byte for byte, with every number', () => {
  fc.assert(
    fc.property(
      fc.record({
        key: fc.string(),
        value: fc.uint8Array({ maxLength: 40 }),
        createRevision: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        modRevision: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        version: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        lease: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      }),
      kv => {
        const store = new CachedStore(new MemoryStore(), {
          cached: [kv],
          onChange: () => undefined,
        });
        const [back] = [...store.cached()];
        assert.deepEqual(back && { ...back, value: Uint8Array.from(back.value) }, { ...kv });
      },
    ),
  );
});
