/** Leases of the store: what hangs on them, and how they end. */
import assert from 'node:assert/strict';
import type { StoreCase } from './case.ts';
import { describeEvents, freshPrefix, keysOf, StoreObserver, text } from './tools.ts';

/** A lease id that no store hands out. */
const UNKNOWN = 4242n;

export const leaseCases: readonly StoreCase[] = [
  {
    name: 'a granted lease lives, is kept alive, and is known by its keys',
    async run({ store }) {
      const key = `${freshPrefix()}/a`;
      const { id, ttl } = await store.grant(600);
      assert.notEqual(id, 0n);
      assert.equal(ttl, 600);
      await store.put(key, text('1'), { lease: id });
      assert.equal((await store.get(key)).kv?.lease, id);
      const left = await store.timeToLive(id);
      assert.equal(left?.granted, 600);
      assert.ok(left.remaining > 400 && left.remaining <= 600, `${left.remaining}`);
      assert.equal(await store.keepAlive(id), 600);
      await store.revoke(id);
    },
  },
  {
    name: 'a lease that does not exist is a value where that is an answer, an error where it is needed',
    async run({ store }) {
      const prefix = freshPrefix();
      assert.equal(await store.keepAlive(UNKNOWN), undefined);
      assert.equal(await store.timeToLive(UNKNOWN), undefined);
      await store.revoke(UNKNOWN);
      const lost = { name: 'StoreError', code: 'LEASE_LOST' };
      await assert.rejects(store.put(`${prefix}/a`, text('1'), { lease: UNKNOWN }), lost);
      const success = [
        { op: 'put', key: `${prefix}/b`, value: text('1') },
        { op: 'put', key: `${prefix}/c`, value: text('1'), lease: UNKNOWN },
      ] as const;
      await assert.rejects(store.transact({ compare: [], success }), lost);
      assert.deepEqual((await store.list(prefix)).kvs, []);
    },
  },
  {
    name: 'revoking deletes the keys of the lease in one change, and again is success',
    async run({ store }) {
      const prefix = freshPrefix();
      const { id } = await store.grant(600);
      await store.put(`${prefix}/a`, text('1'), { lease: id });
      await store.put(`${prefix}/b`, text('1'), { lease: id });
      await store.put(`${prefix}/free`, text('1'));
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      await store.revoke(id);
      const { events } = await observer.events();
      assert.deepEqual(describeEvents(events).sort(), [`delete ${prefix}/a`, `delete ${prefix}/b`]);
      await store.revoke(id);
      assert.equal(await store.keepAlive(id), undefined);
      assert.deepEqual(keysOf((await store.list(prefix)).kvs), [`${prefix}/free`]);
    },
  },
  {
    name: 'a put without the lease frees the key, a put with another moves it',
    async run({ store }) {
      const prefix = freshPrefix();
      const { id: first } = await store.grant(600);
      const { id: second } = await store.grant(600);
      await store.put(`${prefix}/freed`, text('1'), { lease: first });
      await store.put(`${prefix}/moved`, text('1'), { lease: first });
      await store.put(`${prefix}/freed`, text('2'));
      await store.put(`${prefix}/moved`, text('2'), { lease: second });
      await store.revoke(first);
      const { kvs } = await store.list(prefix);
      assert.deepEqual(
        kvs.map(kv => [kv.key, kv.lease]),
        [
          [`${prefix}/freed`, 0n],
          [`${prefix}/moved`, second],
        ],
      );
      await store.revoke(second);
    },
  },
  {
    name: 'an expired lease deletes its keys in one change',
    async run({ store, pass }) {
      const prefix = freshPrefix();
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      // Both at once, and with seconds to spare: a machine that is busy must not be late for its own lease.
      const { id, ttl } = await store.grant(5);
      assert.ok(ttl >= 5);
      const success = ['a', 'b'].map(
        name => ({ op: 'put', key: `${prefix}/${name}`, value: text('1'), lease: id }) as const,
      );
      await store.transact({ compare: [], success });
      assert.equal((await observer.events()).events.length, 2);
      await pass(ttl + 1);
      const { events } = await observer.events();
      assert.deepEqual(describeEvents(events).sort(), [`delete ${prefix}/a`, `delete ${prefix}/b`]);
      assert.equal(await store.timeToLive(id), undefined);
      await assert.rejects(store.put(`${prefix}/a`, text('1'), { lease: id }), { code: 'LEASE_LOST' });
    },
  },
];
