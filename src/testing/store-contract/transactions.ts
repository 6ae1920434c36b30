/** Transactions: conditions, the two branches, one revision for all changes. */
import assert from 'node:assert/strict';
import type { Compare } from '../../store/store.ts';
import type { StoreCase } from './case.ts';
import { freshPrefix, keysOf, StoreObserver, text, textOf } from './tools.ts';

export const transactionCases: readonly StoreCase[] = [
  {
    name: 'a key is created by one of two who want it, and the loser sees who won',
    async run({ store }) {
      const key = `${freshPrefix()}/lock`;
      const claim = (name: string) =>
        store.transact({
          compare: [{ key, target: 'version', is: '=', operand: 0n }],
          success: [{ op: 'put', key, value: text(name) }],
          failure: [{ op: 'get', key }],
        });
      const won = await claim('first');
      assert.equal(won.ok, true);
      assert.deepEqual(won.found, []);
      const lost = await claim('second');
      assert.equal(lost.ok, false);
      assert.equal(lost.revision, won.revision, 'losing is no change');
      assert.equal(textOf(lost.found[0]?.[0]), 'first');
    },
  },
  {
    name: 'every condition means what it says, on a key that exists and on one that does not',
    async run({ store }) {
      const prefix = freshPrefix();
      const key = `${prefix}/there`;
      const { id: lease } = await store.grant(600);
      const create = await store.put(key, text('m'), { lease });
      const mod = await store.put(key, text('n'), { lease });
      const actual = { version: 2n, create, mod, lease };
      const holds = async (compare: Compare) =>
        (await store.transact({ compare: [compare], success: [] })).ok;
      for (const target of ['version', 'create', 'mod', 'lease'] as const) {
        for (const [of, value] of [
          [key, actual[target]],
          [`${prefix}/absent`, 0n],
        ] as const) {
          for (const operand of [value - 1n, value, value + 1n]) {
            const compare = { key: of, target, operand };
            const wanted = {
              '=': value === operand,
              '!=': value !== operand,
              '<': value < operand,
              '>': value > operand,
            };
            for (const is of ['=', '!=', '<', '>'] as const) {
              assert.equal(
                await holds({ ...compare, is }),
                wanted[is],
                `${target} ${value} ${is} ${operand}`,
              );
            }
          }
        }
      }
      const value = (is: Compare['is'], operand: string, of = key) =>
        holds({ key: of, target: 'value', is, operand: text(operand) });
      assert.deepEqual(
        await Promise.all([
          value('=', 'n'),
          value('!=', 'n'),
          value('<', 'o'),
          value('>', 'm'),
          value('<', 'm'),
        ]),
        [true, false, true, true, false],
      );
      for (const is of ['=', '!=', '<', '>'] as const) {
        assert.equal(
          await value(is, 'n', `${prefix}/absent`),
          false,
          'what is absent has no value to compare',
        );
      }
      await store.revoke(lease);
    },
  },
  {
    name: 'all conditions must hold; without conditions the first branch runs',
    async run({ store }) {
      const key = `${freshPrefix()}/a`;
      await store.put(key, text('1'));
      const exists: Compare = { key, target: 'version', is: '>', operand: 0n };
      const absent: Compare = { key, target: 'version', is: '=', operand: 0n };
      const ok = async (compare: Compare[]) => (await store.transact({ compare, success: [] })).ok;
      assert.deepEqual(await Promise.all([ok([]), ok([exists, exists]), ok([exists, absent])]), [
        true,
        true,
        false,
      ]);
    },
  },
  {
    name: 'reads of a transaction see its earlier writes, and only they are found',
    async run({ store }) {
      const prefix = freshPrefix();
      await store.put(`${prefix}/old`, text('old'));
      const { found, revision } = await store.transact({
        compare: [],
        success: [
          { op: 'put', key: `${prefix}/new`, value: text('new') },
          { op: 'get', key: `${prefix}/new` },
          { op: 'delete', key: `${prefix}/old` },
          { op: 'get', key: `${prefix}/old` },
          { op: 'list', prefix },
        ],
      });
      assert.deepEqual(found.map(keysOf), [[`${prefix}/new`], [], [`${prefix}/new`]]);
      assert.equal(found[0]?.[0]?.modRevision, revision);
    },
  },
  {
    name: 'all changes of a transaction have one revision and reach an observer together',
    async run({ store }) {
      const prefix = freshPrefix();
      await store.put(`${prefix}/gone`, text('x'));
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      const { revision } = await store.transact({
        compare: [],
        success: [
          { op: 'put', key: `${prefix}/a`, value: text('1') },
          { op: 'delete', key: `${prefix}/gone` },
          { op: 'put', key: `${prefix}/b`, value: text('2') },
        ],
      });
      const update = await observer.events();
      assert.equal(update.revision, revision);
      assert.equal(update.events.length, 3);
      for (const event of update.events) {
        assert.equal(event.type === 'put' ? event.kv.modRevision : event.modRevision, revision);
      }
    },
  },
  {
    name: 'one key twice in a transaction is refused as a whole',
    async run({ store }) {
      const prefix = freshPrefix();
      const put = { op: 'put', key: `${prefix}/a`, value: text('1') } as const;
      const other = { op: 'put', key: `${prefix}/b`, value: text('1') } as const;
      for (const success of [
        [other, put, put],
        [other, { op: 'delete', key: put.key } as const, put],
      ]) {
        await assert.rejects(store.transact({ compare: [], success }), {
          name: 'StoreError',
          code: 'PROTOCOL',
        });
      }
      assert.deepEqual((await store.list(prefix)).kvs, []);
    },
  },
  {
    name: 'many who raise one counter by compare-and-swap lose no count',
    async run({ store, connect }) {
      const key = `${freshPrefix()}/counter`;
      await store.put(key, text('0'));
      await using other = connect();
      const raise = async (by: typeof store) => {
        for (;;) {
          const { kv } = await by.get(key);
          const { ok } = await by.transact({
            compare: [{ key, target: 'mod', is: '=', operand: kv?.modRevision ?? 0n }],
            success: [{ op: 'put', key, value: text(String(Number(textOf(kv)) + 1)) }],
          });
          if (ok) return;
        }
      };
      await Promise.all(Array.from({ length: 20 }, (_, index) => raise(index % 2 === 0 ? store : other)));
      assert.equal(textOf((await store.get(key)).kv), '20');
    },
  },
];
