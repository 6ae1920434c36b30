import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ManualClock } from '../../base/manual-clock.ts';
import { Permission_Type as PermissionType } from '../wire/generated/authority_pb.ts';
import {
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
} from '../wire/generated/kv_pb.ts';
import { Access } from './access.ts';
import { AuthStore } from './auth-store.ts';
import { Database } from './database.ts';
import { contains } from './range.ts';
import type { Caller } from './rpc.ts';
import { type Kv, Tables } from './tables.ts';
import { Tokens } from './tokens.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const DENIED = { message: /permission denied/ };

function kv(key: string, value: string, lease: bigint): Kv {
  return {
    key: bytes(key),
    value: bytes(value),
    createRevision: 2n,
    modRevision: 2n,
    version: 1n,
    lease,
  };
}

/** Under a rule that everybody may write what bears their own name. */
const CONTENTS = [kv('a', 'anna', 1n), kv('b', 'bert', 2n), kv('b2', 'bert', 2n)];
const GUARD = {
  organization: 'guarded',
  allows: ({
    name,
    current,
    next,
  }: {
    name: string;
    current?: { value: Uint8Array } | undefined;
    next: Uint8Array | undefined;
  }) => [current?.value, next].every(value => value === undefined || Buffer.from(value).toString() === name),
};
const caller = (commonName: string, organization?: string): Caller => ({
  peer: '192.0.2.1:4001',
  token: undefined,
  commonName,
  organization,
  requestBytes: 0,
});
const KEY = { key: bytes('a'), rangeEnd: bytes('') };
const put = (init: MessageInitShape<typeof PutRequestSchema>) => create(PutRequestSchema, init);

let directory: string;
let database: Database;
let auth: AuthStore;
let access: Access;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tt-access-'));
  database = Database.open(join(directory, 'x.db'));
  auth = new AuthStore(database, new Tables(database));
  access = new Access({
    auth,
    tokens: new Tokens(new ManualClock()),
    guard: GUARD,
    keysOfLease: lease => CONTENTS.filter(one => one.lease === lease).map(one => one.key),
    keysIn: range => CONTENTS.filter(one => contains(range, one.key)),
  });
});
afterEach(() => {
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

describe('a guarded caller', () => {
  const anna = caller('anna', 'guarded');

  test('writes what the rule allows, before and after', () => {
    access.put(anna, put({ key: bytes('a'), value: bytes('anna') }));
    access.put(anna, put({ key: bytes('new'), value: bytes('anna') }));
    assert.throws(() => access.put(anna, put({ key: bytes('a'), value: bytes('bert') })), DENIED);
    assert.throws(() => access.put(anna, put({ key: bytes('b'), value: bytes('anna') })), DENIED);
  });

  test("does not tie a key to another's lease, and does not end it", () => {
    const own = { key: bytes('a'), value: bytes('anna') };
    access.put(anna, put({ ...own, lease: 1n }));
    assert.throws(() => access.put(anna, put({ ...own, lease: 2n })), DENIED);
    access.lease(anna, 'write', 1n);
    assert.throws(() => access.lease(anna, 'write', 2n), DENIED);
  });

  test('deletes a range only when all of it is its own', () => {
    const request = (key: string, rangeEnd: string) =>
      create(DeleteRangeRequestSchema, { key: bytes(key), rangeEnd: bytes(rangeEnd) });
    access.deleteRange(anna, request('a', 'b'));
    assert.throws(() => access.deleteRange(anna, request('a', 'c')), DENIED);
  });

  test('is refused by either half of a transaction, whichever will run', () => {
    const foreign = create(RequestOpSchema, {
      request: { case: 'requestPut', value: put({ key: bytes('b'), value: bytes('anna') }) },
    });
    const nested = create(RequestOpSchema, {
      request: { case: 'requestTxn', value: create(TxnRequestSchema, { success: [foreign] }) },
    });
    for (const txn of [{ success: [foreign] }, { failure: [foreign] }, { failure: [nested] }]) {
      assert.throws(() => access.txn(anna, create(TxnRequestSchema, txn)), DENIED);
    }
  });

  test('keeping the value of a key counts as writing what is there', () => {
    access.put(anna, put({ key: bytes('a'), ignoreValue: true }));
    assert.throws(() => access.put(anna, put({ key: bytes('b'), ignoreValue: true })), DENIED);
  });

  test('administers nothing', () => {
    assert.throws(() => access.admin(anna), DENIED);
    access.admin(caller('anna'));
  });
});

describe('a user with roles', () => {
  const writer = caller('writer');
  beforeEach(() => {
    for (const [user, role] of [
      ['root', 'root'],
      ['writer', 'writing'],
    ] as const) {
      auth.addUser(user, undefined);
      auth.addRole(role);
      auth.grantRole(user, role);
    }
    auth.grantPermission('writing', {
      key: bytes('a'),
      rangeEnd: bytes('c'),
      permType: PermissionType.WRITE,
    });
    auth.setEnabled(true);
  });

  test('needs the right to read for the value that was there', () => {
    const request = { key: bytes('a'), value: bytes('x') };
    access.put(writer, put(request));
    assert.throws(() => access.put(writer, put({ ...request, prevKv: true })), DENIED);
    const deletion = { key: bytes('a') };
    access.deleteRange(writer, create(DeleteRangeRequestSchema, deletion));
    const reading = create(DeleteRangeRequestSchema, { ...deletion, prevKv: true });
    assert.throws(() => access.deleteRange(writer, reading), DENIED);
  });

  test('needs the right to write all keys of a lease', () => {
    access.lease(writer, 'write', 2n);
    auth.revokePermission('writing', bytes('a'), bytes('c'));
    auth.grantPermission('writing', {
      key: bytes('b'),
      rangeEnd: bytes(''),
      permType: PermissionType.WRITE,
    });
    auth.reload();
    assert.throws(() => access.lease(writer, 'write', 2n), DENIED);
  });

  test('is nobody without a name, and nobody with a token that is not known', () => {
    assert.throws(() => access.range({ ...writer, commonName: undefined }, KEY), /user name is empty/);
    assert.throws(() => access.range({ ...writer, token: 'made up' }, KEY), /invalid auth token/);
    access.range(caller('root'), { key: bytes('z'), rangeEnd: bytes('') });
  });
});
