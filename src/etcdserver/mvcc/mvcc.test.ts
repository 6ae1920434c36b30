import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { rangeOf } from '../kv/range.ts';
import { Database } from '../sqlite/database.ts';
import { positionOf } from '../sqlite/schema.ts';
import { Tables } from '../sqlite/tables.ts';
import { Mvcc } from './mvcc.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const NONE = new Uint8Array();

interface State {
  readonly value: string;
  readonly create: bigint;
  readonly mod: bigint;
  readonly version: bigint;
}

/** The slow truth: the whole contents after every revision. */
class Model {
  readonly states: ReadonlyMap<string, State>[] = [new Map(), new Map()];

  get revision(): bigint {
    return BigInt(this.states.length - 1);
  }

  at(revision: bigint): ReadonlyMap<string, State> {
    return this.states[Number(revision)] ?? new Map();
  }

  change(edit: (state: Map<string, State>, revision: bigint) => boolean): void {
    const next = new Map(this.at(this.revision));
    if (edit(next, this.revision + 1n)) this.states.push(next);
  }
}

type Step =
  | { readonly do: 'put'; readonly keys: readonly string[]; readonly value: string }
  | { readonly do: 'delete'; readonly start: string; readonly end: string }
  | { readonly do: 'compact'; readonly back: number }
  | { readonly do: 'reopen' };

const key = fc.constantFrom('a', 'a\0', 'aa', 'ab', 'b', 'c', 'cc', 'd');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      keys: fc.uniqueArray(key, { minLength: 1, maxLength: 3 }),
      value: fc.string({ maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('delete' as const),
      start: key,
      end: fc.oneof(key, fc.constantFrom('', '\0')),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('compact' as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
);

const inRange = (name: string, start: string, end: string) =>
  end === '' ? name === start : name >= start && (end === '\0' || name < end);

test('every revision that is not compacted reads as it was, also after reopening', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tt-mvcc-'));
  try {
    let run = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), steps => {
        const path = join(dir, `${run++}.db`);
        const model = new Model();
        let compacted = -1n;
        let database = Database.open(path);
        let mvcc = new Mvcc(new Tables(database));
        for (const one of steps) {
          switch (one.do) {
            case 'put': {
              const writer = mvcc.write();
              for (const name of one.keys) writer.put(bytes(name), bytes(one.value), 0n);
              mvcc.finish(writer);
              model.change((state, revision) => {
                for (const name of one.keys) {
                  const before = state.get(name);
                  const [create, version] = [before?.create ?? revision, (before?.version ?? 0n) + 1n];
                  state.set(name, { value: one.value, create, mod: revision, version });
                }
                return true;
              });
              break;
            }
            case 'delete': {
              const writer = mvcc.write();
              writer.deleteRange(rangeOf(bytes(one.start), bytes(one.end)));
              mvcc.finish(writer);
              model.change(state => {
                const gone = [...state.keys()].filter(name => inRange(name, one.start, one.end));
                for (const name of gone) state.delete(name);
                return gone.length > 0;
              });
              break;
            }
            case 'compact': {
              const revision = model.revision - BigInt(one.back);
              if (revision <= compacted) {
                assert.throws(() => mvcc.compact(revision), /has been compacted/);
              } else {
                mvcc.compact(revision);
                compacted = revision;
                mvcc.sweep();
              }
              break;
            }
            case 'reopen':
              database[Symbol.dispose]();
              database = Database.open(path);
              mvcc = new Mvcc(new Tables(database));
              break;
          }
          assert.equal(mvcc.revision, model.revision);
          assert.equal(mvcc.compactedRevision, compacted === -1n ? 0n : compacted);
        }
        const oldest = compacted > 1n ? compacted : 1n;
        for (let revision = oldest; revision <= model.revision; revision++) {
          const { kvs, count } = mvcc.range({
            range: rangeOf(bytes('a'), bytes('\0')),
            revision,
            limit: 0n,
            keysOnly: false,
            countOnly: false,
          });
          const found = kvs.map(kv => [
            Buffer.from(kv.key).toString(),
            {
              value: Buffer.from(kv.value).toString(),
              create: kv.createRevision,
              mod: kv.modRevision,
              version: kv.version,
            },
          ]);
          const expected = [...model.at(revision)].sort(([a], [b]) => (a < b ? -1 : 1));
          assert.deepEqual(found, expected);
          assert.equal(count, BigInt(expected.length));
        }
        database[Symbol.dispose]();
      }),
      { numRuns: 60 },
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a compaction deletes every row that no allowed read can see', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tt-mvcc-'));
  try {
    using database = Database.open(join(dir, 'x.db'));
    const mvcc = new Mvcc(new Tables(database));
    const change = (edit: (writer: ReturnType<Mvcc['write']>) => void) => {
      const writer = mvcc.write();
      edit(writer);
      mvcc.finish(writer);
    };
    for (let round = 0; round < 700; round++) change(writer => writer.put(bytes('k'), bytes(`${round}`), 0n));
    change(writer => writer.put(bytes('gone'), NONE, 0n));
    change(writer => writer.deleteRange(rangeOf(bytes('gone'), NONE)));
    mvcc.compact(mvcc.revision);
    for (let steps = 0; mvcc.sweeping; steps++) {
      assert.ok(steps < 10);
      mvcc.sweep();
    }
    assert.deepEqual(
      mvcc.history(positionOf(0n), 10, 1000).rows.map(row => Buffer.from(row.key).toString()),
      ['k'],
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('reads in the future and in compacted history are refused with the words of etcd', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tt-mvcc-'));
  try {
    using database = Database.open(join(dir, 'x.db'));
    const mvcc = new Mvcc(new Tables(database));
    for (const value of ['1', '2', '3']) {
      const writer = mvcc.write();
      writer.put(bytes('k'), bytes(value), 0n);
      mvcc.finish(writer);
    }
    mvcc.compact(3n);
    const read = (revision: bigint) =>
      mvcc.range({
        range: rangeOf(bytes('k'), NONE),
        revision,
        limit: 0n,
        keysOnly: false,
        countOnly: false,
      });
    assert.throws(() => read(5n), { code: 'OUT_OF_RANGE', message: /future revision/ });
    assert.throws(() => read(2n), { code: 'OUT_OF_RANGE', message: /has been compacted/ });
    assert.equal(Buffer.from(read(3n).kvs[0]?.value ?? NONE).toString(), '2');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
