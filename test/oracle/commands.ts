/** Random commands for a store: few keys, few leases, revisions relative to the newest, and now and then nonsense. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type CompareSchema,
  type DeleteRangeRequestSchema,
  type PutRequestSchema,
  type RangeRequestSchema,
  type RequestOpSchema,
  type TxnRequestSchema,
} from '../../src/store/wire/generated/kv_pb.ts';
import type { WatchCreateRequestSchema } from '../../src/store/wire/generated/watch_pb.ts';
import { fc } from '../../src/testing/properties.ts';

type Range = MessageInitShape<typeof RangeRequestSchema>;
type Put = MessageInitShape<typeof PutRequestSchema>;
type DeleteRange = MessageInitShape<typeof DeleteRangeRequestSchema>;
type Txn = MessageInitShape<typeof TxnRequestSchema>;
type Op = MessageInitShape<typeof RequestOpSchema>;
type Compare = MessageInitShape<typeof CompareSchema>;
type WatchCreate = MessageInitShape<typeof WatchCreateRequestSchema>;

/** Revisions in a command are relative: `back` revisions before the newest; undefined means the field is 0. */
export type Command =
  | { readonly do: 'put'; readonly request: Put }
  | { readonly do: 'range'; readonly request: Range; readonly back: number | undefined }
  | { readonly do: 'delete'; readonly request: DeleteRange }
  | { readonly do: 'txn'; readonly request: Txn }
  | { readonly do: 'compact'; readonly back: number }
  | { readonly do: 'grant'; readonly id: bigint; readonly ttl: bigint }
  | { readonly do: 'revoke'; readonly id: bigint }
  | { readonly do: 'timeToLive'; readonly id: bigint; readonly keys: boolean }
  | { readonly do: 'keepAlive'; readonly id: bigint }
  | { readonly do: 'leases' }
  | { readonly do: 'watch'; readonly request: WatchCreate; readonly back: number | undefined }
  | { readonly do: 'cancel'; readonly id: bigint };

const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));

const names = ['a', 'a\0', 'aa', 'ab', 'b', 'b\xff', 'c', '\xff'];
const key = fc.constantFrom(...names).map(bytes);
const anyKey = fc.oneof(
  { weight: 30, arbitrary: key },
  { weight: 1, arbitrary: fc.constant(new Uint8Array()) },
);
const rangeEnd = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array()) },
  { weight: 3, arbitrary: key },
  { weight: 1, arbitrary: fc.constant(bytes('\0')) },
);
const value = fc.oneof(fc.constantFrom('', '1', '2', 'x').map(bytes), fc.uint8Array({ maxLength: 20 }));
const leaseId = fc.constantFrom(1001n, 1002n, 1003n);
const maybeLease = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0n) },
  { weight: 2, arbitrary: leaseId },
  { weight: 1, arbitrary: fc.constant(7777n) },
);
const rare = fc.oneof(
  { weight: 5, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);
const back = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.integer({ min: -2, max: 12 }) },
);
const bound = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0n) },
  { weight: 1, arbitrary: fc.bigInt(1n, 40n) },
);

const range: fc.Arbitrary<Range> = fc.record({
  key: anyKey,
  rangeEnd,
  limit: fc.oneof({ weight: 3, arbitrary: fc.constant(0n) }, { weight: 1, arbitrary: fc.bigInt(-1n, 4n) }),
  sortOrder: fc.constantFrom(0, 0, 1, 2),
  sortTarget: fc.constantFrom(0, 0, 1, 2, 3, 4),
  serializable: fc.boolean(),
  keysOnly: rare,
  countOnly: rare,
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});

const put: fc.Arbitrary<Put> = fc
  .record({
    key: anyKey,
    value,
    lease: maybeLease,
    prevKv: fc.boolean(),
    ignoreValue: rare,
    ignoreLease: rare,
  })
  // Mostly well-formed: ignore_value with a value, and ignore_lease with a lease, are errors of their own.
  .chain(request =>
    fc.boolean().map(tidy => ({
      ...request,
      ...(tidy && request.ignoreValue ? { value: new Uint8Array() } : {}),
      ...(tidy && request.ignoreLease ? { lease: 0n } : {}),
    })),
  );

const deleteRange: fc.Arbitrary<DeleteRange> = fc.record({ key: anyKey, rangeEnd, prevKv: fc.boolean() });

const number = fc.bigInt(0n, 6n);
const compare: fc.Arbitrary<Compare> = fc
  .record({
    result: fc.constantFrom(0, 1, 2, 3),
    key: anyKey,
    rangeEnd: fc.oneof(
      { weight: 3, arbitrary: fc.constant(new Uint8Array()) },
      { weight: 1, arbitrary: rangeEnd },
    ),
    target: fc.oneof(
      number.map(version => ({
        target: 0 as const,
        targetUnion: { case: 'version' as const, value: version },
      })),
      number.map(revision => ({
        target: 1,
        targetUnion: { case: 'createRevision' as const, value: revision },
      })),
      number.map(revision => ({
        target: 2 as const,
        targetUnion: { case: 'modRevision' as const, value: revision },
      })),
      value.map(operand => ({ target: 3 as const, targetUnion: { case: 'value' as const, value: operand } })),
      maybeLease.map(lease => ({
        target: 4 as const,
        targetUnion: { case: 'lease' as const, value: lease },
      })),
    ),
  })
  .map(({ target, ...rest }) => ({ ...rest, ...target }) as Compare);

const { txn } = fc.letrec<{ txn: Txn; op: Op }>(tie => ({
  op: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    { weight: 4, arbitrary: put.map(one => ({ request: { case: 'requestPut' as const, value: one } })) },
    { weight: 3, arbitrary: range.map(one => ({ request: { case: 'requestRange' as const, value: one } })) },
    {
      weight: 2,
      arbitrary: deleteRange.map(one => ({ request: { case: 'requestDeleteRange' as const, value: one } })),
    },
    {
      weight: 1,
      arbitrary: tie('txn').map(one => ({ request: { case: 'requestTxn' as const, value: one } })),
    },
  ) as fc.Arbitrary<Op>,
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('op'), { maxLength: 3 }),
    failure: fc.array(tie('op'), { maxLength: 2 }),
  }) as fc.Arbitrary<Txn>,
}));

const watch: fc.Arbitrary<WatchCreate> = fc.record({
  key: anyKey,
  rangeEnd,
  filters: fc.oneof(
    { weight: 4, arbitrary: fc.constant<(0 | 1)[]>([]) },
    { weight: 1, arbitrary: fc.uniqueArray(fc.constantFrom<(0 | 1)[]>(0, 1), { minLength: 1 }) },
  ),
  prevKv: fc.boolean(),
  fragment: rare,
  watchId: fc.oneof({ weight: 4, arbitrary: fc.constant(0n) }, { weight: 1, arbitrary: fc.bigInt(1n, 4n) }),
});

/** Watches of the past cost etcd up to 100 ms each, so they are rare. */
const watchBack = fc.oneof(
  { weight: 14, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.integer({ min: -2, max: 12 }) },
);

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('put' as const), request: put }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('range' as const), request: range, back }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), request: deleteRange }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('txn' as const), request: txn }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('compact' as const), back: fc.integer({ min: -1, max: 8 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('grant' as const),
      id: leaseId,
      ttl: fc.constantFrom(3600n, 7200n, 86_400n, 9_000_000_001n),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const), id: leaseId }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('timeToLive' as const), id: leaseId, keys: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('keepAlive' as const), id: leaseId }) },
  { weight: 1, arbitrary: fc.constant({ do: 'leases' as const }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('watch' as const), request: watch, back: watchBack }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), id: fc.bigInt(0n, 5n) }) },
);

export const commands = fc.array(command, { minLength: 1, maxLength: 25 });
