import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Permission_Type as PermissionType } from '../../store/wire/generated/authority_pb.ts';
import { DeleteRangeRequestSchema, PutRequestSchema } from '../../store/wire/generated/kv_pb.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import type { Caller } from '../rpc.ts';
import { Database } from '../sqlite/database.ts';
import { type Kv, Tables } from '../sqlite/tables.ts';
import { Access } from './access.ts';
import { AuthStore } from './auth-store.ts';
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

const CONTENTS = [kv('a', 'anna', 1n), kv('b', 'bert', 2n), kv('b2', 'bert', 2n)];
const caller = (commonName: string): Caller => ({
  peer: '192.0.2.1:4001',
  token: undefined,
  commonName,
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
    restricted: undefined,
    keysOfLease: lease => CONTENTS.filter(one => one.lease === lease).map(one => one.key),
  });
});
afterEach(() => {
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
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
    access.revokeLease(writer, 2n);
    auth.revokePermission('writing', bytes('a'), bytes('c'));
    auth.grantPermission('writing', {
      key: bytes('b'),
      rangeEnd: bytes(''),
      permType: PermissionType.WRITE,
    });
    auth.reload();
    assert.throws(() => access.revokeLease(writer, 2n), DENIED);
  });

  test('is nobody without a name, and nobody with a token that is not known', () => {
    assert.throws(() => access.range({ ...writer, commonName: undefined }, KEY), /user name is empty/);
    assert.throws(() => access.range({ ...writer, token: 'made up' }, KEY), /invalid auth token/);
    access.range(caller('root'), { key: bytes('z'), rangeEnd: bytes('') });
  });
});
