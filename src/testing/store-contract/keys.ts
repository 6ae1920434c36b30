/** Single keys and lists: revisions, versions, order, bytes, sizes. */
import assert from 'node:assert/strict';
import type { TxnOperation } from '../../store/store.ts';
import type { StoreCase } from './case.ts';
import { freshPrefix, keysOf, text, textOf } from './tools.ts';

export const keyCases: readonly StoreCase[] = [
  {
    name: 'a key that does not exist is undefined, at a revision',
    async run({ store }) {
      const { kv, revision } = await store.get(`${freshPrefix()}/none`);
      assert.equal(kv, undefined);
      assert.ok(revision >= 1n);
    },
  },
  {
    name: 'put creates, then changes: revisions and versions grow by one',
    async run({ store }) {
      const key = `${freshPrefix()}/a`;
      const first = await store.put(key, text('1'));
      const created = (await store.get(key)).kv;
      assert.deepEqual(created, {
        key,
        value: text('1'),
        createRevision: first,
        modRevision: first,
        version: 1n,
        lease: 0n,
      });
      const second = await store.put(key, text('2'));
      assert.equal(second, first + 1n);
      const { kv, revision } = await store.get(key);
      assert.deepEqual(kv, { ...created, value: text('2'), modRevision: second, version: 2n });
      assert.equal(revision, second);
    },
  },
  {
    name: 'delete reports whether there was a key; a key that is created again starts over',
    async run({ store }) {
      const key = `${freshPrefix()}/a`;
      const created = await store.put(key, text('1'));
      assert.equal(await store.delete(key), true);
      const { kv, revision } = await store.get(key);
      assert.equal(kv, undefined);
      assert.equal(revision, created + 1n);
      assert.equal(await store.delete(key), false);
      assert.equal((await store.get(key)).revision, revision, 'deleting nothing is no change');
      const again = await store.put(key, text('2'));
      const { kv: remade } = await store.get(key);
      assert.equal(remade?.createRevision, again);
      assert.equal(remade?.version, 1n);
    },
  },
  {
    name: 'values are bytes',
    async run({ store }) {
      const key = `${freshPrefix()}/bytes`;
      for (const value of [Uint8Array.from({ length: 256 }, (_, byte) => byte), new Uint8Array()]) {
        await store.put(key, value);
        assert.deepEqual((await store.get(key)).kv?.value, value);
      }
    },
  },
  {
    name: 'what the caller does to its bytes afterwards changes nothing',
    async run({ store }) {
      const key = `${freshPrefix()}/own`;
      const value = text('kept');
      await store.put(key, value);
      value.fill(0);
      assert.equal(textOf((await store.get(key)).kv), 'kept');
    },
  },
  {
    name: 'a value of a megabyte, and a list of several',
    async run({ store }) {
      const prefix = freshPrefix();
      const value = (fill: number) => new Uint8Array(1024 * 1024).fill(fill);
      for (let index = 0; index < 6; index++) await store.put(`${prefix}/${index}`, value(index));
      const { kvs } = await store.list(prefix);
      assert.equal(kvs.length, 6);
      for (const [index, kv] of kvs.entries()) assert.deepEqual(kv.value, value(index));
      for (const { key } of kvs) await store.delete(key);
    },
  },
  {
    name: 'a list holds every key that begins with the prefix and no other, in the order of their bytes',
    async run({ store }) {
      const prefix = freshPrefix();
      // U+FF5E sorts before U+1F600 as bytes and after it as UTF-16, JavaScript's own order.
      const inside = ['/subnets', '/subnets-x', '/subnets/', '/subnets/a', '/subnets/\uff5e', '/subnets/😀'];
      for (const key of [...inside.toReversed(), '/subnet', '/subnett', '']) {
        await store.put(`${prefix}${key}`, text(key));
      }
      const { kvs } = await store.list(`${prefix}/subnets`);
      assert.deepEqual(
        keysOf(kvs),
        inside.map(key => `${prefix}${key}`),
      );
      const all = keysOf((await store.list('')).kvs);
      assert.ok(all.includes(prefix), 'the empty prefix is everything');
      const nothing = await store.list(`${prefix}/none`);
      assert.deepEqual(nothing.kvs, []);
      assert.ok(nothing.revision >= 1n);
    },
  },
  {
    name: 'of a list, only what was created after a revision',
    async run({ store }) {
      const prefix = freshPrefix();
      const before = await store.put(`${prefix}/old`, text('1'));
      await store.put(`${prefix}/new`, text('2'));
      const after = await store.put(`${prefix}/old`, text('written again'));
      const { kvs, revision } = await store.list(prefix, { createdAfter: before });
      assert.deepEqual(keysOf(kvs), [`${prefix}/new`]);
      assert.equal(revision, after);
      assert.deepEqual(keysOf((await store.list(prefix, { createdAfter: 0n })).kvs), [
        `${prefix}/new`,
        `${prefix}/old`,
      ]);
      assert.deepEqual((await store.list(prefix, { createdAfter: after })).kvs, []);
    },
  },
  {
    name: 'a long list is complete and of one revision, whatever is written meanwhile',
    async run({ store, connect }) {
      const prefix = freshPrefix();
      const name = (index: number) => `${prefix}/${String(index).padStart(5, '0')}`;
      const count = 2500;
      for (let start = 0; start < count; start += 100) {
        const success = Array.from(
          { length: 100 },
          (_, index): TxnOperation => ({ op: 'put', key: name(start + index), value: text('0') }),
        );
        await store.transact({ compare: [], success });
      }
      await using other = connect();
      let writing = true;
      const writer = (async () => {
        for (let round = 1; writing; round++) {
          const put = (index: number): TxnOperation => ({
            op: 'put',
            key: name(index),
            value: text(String(round)),
          });
          await other.transact({ compare: [], success: [put(0), put(count - 1)] });
        }
      })();
      try {
        for (let round = 0; round < 10; round++) {
          const { kvs } = await store.list(prefix);
          assert.equal(kvs.length, count);
          assert.equal(textOf(kvs[0]), textOf(kvs[count - 1]));
          assert.deepEqual(keysOf(kvs), keysOf(kvs).toSorted());
        }
      } finally {
        writing = false;
        await writer;
      }
    },
  },
  {
    name: 'an empty key is refused',
    async run({ store }) {
      await assert.rejects(store.put('', text('x')), { name: 'StoreError', code: 'PROTOCOL' });
    },
  },
  {
    name: 'status reports the state of the store',
    async run({ store }) {
      const revision = await store.put(`${freshPrefix()}/a`, text('1'));
      const status = await store.status();
      assert.ok(status.revision >= revision);
      assert.equal(status.leaderless, false);
      assert.deepEqual(status.alarms, []);
      assert.notEqual(status.endpoint, '');
      assert.match(status.version, /^\d+\.\d+\.\d+/);
      assert.notEqual(status.clusterId, 0n);
    },
  },
  {
    name: 'a closed store refuses every call',
    async run({ connect }) {
      const store = connect();
      await store[Symbol.asyncDispose]();
      await assert.rejects(store.get('/x'), { name: 'StoreError', code: 'UNAVAILABLE' });
      await assert.rejects(store.put('/x', text('x')), { name: 'StoreError', code: 'UNAVAILABLE' });
      await assert.rejects(store.grant(60), { name: 'StoreError', code: 'UNAVAILABLE' });
      await store[Symbol.asyncDispose]();
    },
  },
];
