/**
 * Users, roles and permissions, asked of our store and of real etcd: the same refusals, and the same keys allowed
 * and denied.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { Metadata } from '@grpc/grpc-js';
import { Auth } from '../../src/store/wire/generated/auth_pb.ts';
import { KV } from '../../src/store/wire/generated/kv_pb.ts';
import { fc } from '../../src/testing/properties.ts';
import { needsEtcd } from '../support/etcd.ts';
import { startPair } from './pair.ts';
import { Session } from './session.ts';

const { TULLE_ORACLE_RUNS } = process.env;
const RUNS = Math.ceil(Number(TULLE_ORACLE_RUNS ?? 100) / 10);
/** The same in every `npm test`. */
const SEED = TULLE_ORACLE_RUNS === undefined ? { seed: 20_261 } : {};
const method = Auth.method;

type Unary = DescMethodUnary<DescMessage, DescMessage>;

interface Ask {
  readonly method: Unary;
  readonly request: object;
  /** Asked with the token of this user, when there is one. */
  readonly as: string;
}

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const userName = fc.constantFrom('root', 'ann', 'bob', 'nobody', '');
const roleName = fc.constantFrom('root', 'reader', 'writer', 'none');
const as = fc.constantFrom('root', 'root', 'root', 'ann', 'bob', '');
const key = fc.constantFrom('a', 'b', 'c', 'd').map(bytes);
const rangeEnd = fc.constantFrom('', '', 'b', 'c', 'e', '\0').map(bytes);
const perm = fc.record({ key, rangeEnd, permType: fc.constantFrom(0, 1, 2) });

const ask = (wanted: DescMethodUnary, request: fc.Arbitrary<object>): fc.Arbitrary<Ask> =>
  fc.record({ method: fc.constant(wanted), request, as });

const asks = fc.array(
  fc.oneof(
    ask(method.authEnable, fc.constant({})),
    ask(method.authDisable, fc.constant({})),
    ask(method.userAdd, fc.record({ name: userName, password: fc.constantFrom('1', '2') })),
    ask(method.userGet, fc.record({ name: userName.filter(name => name !== '') })),
    ask(method.userList, fc.constant({})),
    ask(method.userDelete, fc.record({ name: userName })),
    ask(method.userGrantRole, fc.record({ user: userName, role: roleName })),
    ask(method.userRevokeRole, fc.record({ name: userName, role: roleName })),
    ask(method.roleAdd, fc.record({ name: roleName })),
    ask(method.roleGet, fc.record({ role: roleName })),
    ask(method.roleList, fc.constant({})),
    ask(method.roleDelete, fc.record({ role: roleName })),
    ask(method.roleGrantPermission, fc.record({ name: roleName, perm })),
    ask(method.roleRevokePermission, fc.record({ role: roleName, key, rangeEnd })),
    ask(KV.method.put, fc.record({ key, value: key, prevKv: fc.boolean() })),
    ask(KV.method.range, fc.record({ key, rangeEnd })),
    ask(KV.method.deleteRange, fc.record({ key, rangeEnd, prevKv: fc.boolean() })),
  ),
  { maxLength: 30 },
);

/** A start from which most of what follows means something. */
const SETUP: readonly Ask[] = [
  { method: method.userAdd, request: { name: 'root', password: '1' } },
  { method: method.userGrantRole, request: { user: 'root', role: 'root' } },
  { method: method.userAdd, request: { name: 'ann', password: '1' } },
  { method: method.roleAdd, request: { name: 'reader' } },
  {
    method: method.roleGrantPermission,
    request: { name: 'reader', perm: { key: bytes('a'), rangeEnd: bytes('c'), permType: 0 } },
  },
  { method: method.userGrantRole, request: { user: 'ann', role: 'reader' } },
  { method: method.authEnable, request: {} },
].map(one => ({ ...one, method: one.method, as: 'root' }));

/** Asks as a user: the token is asked for anew each time, because most changes make old ones worthless. */
async function answerOf(session: Session, { method: wanted, request, as: user }: Ask): Promise<unknown> {
  const metadata = new Metadata();
  for (const password of ['1', '2']) {
    if (user === '') break;
    const login = (await session.call(method.authenticate, { name: user, password })) as { token?: string };
    if (login.token !== undefined) metadata.set('token', login.token);
  }
  return session.call(wanted, request as MessageInitShape<DescMessage>, metadata);
}

async function reset(session: Session): Promise<void> {
  const root = (wanted: DescMethodUnary, request: object) =>
    answerOf(session, { method: wanted, request, as: 'root' });
  await root(method.authDisable, {});
  for (const name of ['root', 'ann', 'bob', 'nobody']) await root(method.userDelete, { name });
  for (const role of ['root', 'reader', 'writer', 'none']) await root(method.roleDelete, { role });
  await root(KV.method.deleteRange, { key: bytes('\0'), rangeEnd: bytes('\0') });
}

test('permissions are those of etcd', { ...needsEtcd, timeout: 3_600_000 }, async () => {
  await using pair = await startPair();
  await fc.assert(
    fc.asyncProperty(asks, async sequence => {
      const sessions = [new Session(pair.tulle), new Session(pair.etcd)] as const;
      try {
        for (const one of [...SETUP, ...sequence]) {
          const [ours, theirs] = await Promise.all(sessions.map(session => answerOf(session, one)));
          assert.deepEqual(ours, theirs, `answer to ${one.method.name} as ${one.as}`);
        }
      } finally {
        await Promise.all(sessions.map(reset));
        for (const session of sessions) session.close();
      }
    }),
    { ...SEED, numRuns: RUNS },
  );
});
