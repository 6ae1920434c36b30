import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
} from '../../store/wire/generated/kv_pb.ts';
import type { Caller } from '../rpc.ts';
import type { Kv } from '../sqlite/tables.ts';
import { Access } from './access.ts';
import type { Authorizer } from './authorizer.ts';
import { RestrictedAccess } from './restricted-access.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const text = (value: Uint8Array | undefined) => Buffer.from(value ?? '').toString();
const kv = (key: string, value: string, lease: bigint): Kv => ({
  key: bytes(key),
  value: bytes(value),
  createRevision: 2n,
  modRevision: 2n,
  version: 1n,
  lease,
});

const CONTENTS = [kv('a', 'anna', 1n), kv('b', 'bert', 2n)];
/** Lease 1 and 2 are of a time without owners; 3 is anna's, 4 bert's; none of the two has a key. */
const OWNERS = new Map([
  [1n, undefined],
  [2n, undefined],
  [3n, 'anna'],
  [4n, 'bert'],
  [5n, undefined],
]);
const valueAt = (key: Uint8Array) => CONTENTS.find(one => text(one.key) === text(key));

/** Everybody may write what bears their own name. */
const AUTHORIZER: Authorizer = {
  organization: 'restricted',
  storeLeases: { most: 2, longest: 100n },
  keys: { start: bytes('a'), end: bytes('z') },
  reset: () => undefined,
  follow: () => undefined,
  owns: (name, key) => text(valueAt(key)?.value) === name,
  refuses: ({ name }, writes) =>
    writes.every(({ key, next }) =>
      [valueAt(key)?.value, next?.value].every(value => value === undefined || text(value) === name),
    )
      ? undefined
      : 'it is of another',
};

let granted = 0;
const restricted = new RestrictedAccess({
  authorizer: AUTHORIZER,
  lessor: { has: id => OWNERS.has(id), ownerOf: id => OWNERS.get(id), countOf: () => granted },
  keysOfLease: lease => CONTENTS.filter(one => one.lease === lease).map(one => one.key),
  get: valueAt,
});
const access = new Access({
  auth: { enabled: false } as ConstructorParameters<typeof Access>[0]['auth'],
  tokens: {} as ConstructorParameters<typeof Access>[0]['tokens'],
  restricted,
  keysOfLease: () => [],
});

const caller = (commonName: string, organization?: string): Caller => ({
  peer: '192.0.2.1:4001',
  token: undefined,
  commonName,
  organization,
  requestBytes: 0,
});
const anna = caller('anna', 'restricted');
const put = (request: MessageInitShape<typeof PutRequestSchema>) => create(PutRequestSchema, request);
const DENIED = { code: 'PERMISSION_DENIED', message: /^etcdserver: permission denied/ };
const OWN = { key: bytes('a'), value: bytes('anna') };

describe('a restricted caller', () => {
  test('may write what the rule allows, and gets the reason otherwise', () => {
    access.put(anna, put(OWN));
    access.put(anna, put({ key: bytes('new'), value: bytes('anna') }));
    assert.throws(() => access.put(anna, put({ key: bytes('a'), value: bytes('bert') })), {
      ...DENIED,
      message: 'etcdserver: permission denied: it is of another',
    });
    assert.throws(() => access.put(anna, put({ key: bytes('b'), value: bytes('anna') })), DENIED);
  });

  test("D2: neither uses, keeps alive nor revokes a store lease of another's", () => {
    for (const [lease, isOwn] of [
      [1n, true],
      [2n, false],
      [3n, true],
      [4n, false],
      [5n, false],
    ] as const) {
      for (const use of [
        () => access.put(anna, put({ ...OWN, lease })),
        () => access.keepLeaseAlive(anna, lease),
        () => access.revokeLease(anna, lease),
        () =>
          access.txn(
            anna,
            create(TxnRequestSchema, {
              success: [
                create(RequestOpSchema, { request: { case: 'requestPut', value: put({ ...OWN, lease }) } }),
              ],
            }),
          ),
      ]) {
        if (isOwn) use();
        else assert.throws(use, DENIED, `lease ${lease}`);
      }
    }
    // etcd's own answer for one that is not there is what a host waits for.
    access.keepLeaseAlive(anna, 99n);
    access.put(anna, put({ ...OWN, lease: 99n }));
  });

  test('D2: has so many store leases and no more, for a time that ends', () => {
    granted = 1;
    assert.equal(access.grantLease(anna, 100n), 'anna');
    assert.throws(() => access.grantLease(anna, 101n), DENIED);
    granted = 2;
    assert.throws(() => access.grantLease(anna, 100n), DENIED);
    assert.equal(access.grantLease(caller('anna'), 101n), undefined, 'another host is not asked');
  });

  test('deletes key by key', () => {
    const request = (key: string, rangeEnd = '') =>
      create(DeleteRangeRequestSchema, { key: bytes(key), rangeEnd: bytes(rangeEnd) });
    access.deleteRange(anna, request('a'));
    assert.throws(() => access.deleteRange(anna, request('b')), DENIED);
    assert.throws(() => access.deleteRange(anna, request('a', 'b')), DENIED);
    assert.throws(() => access.deleteRange(anna, request('\0', '\0')), DENIED);
  });

  test('is refused by either half of a transaction, whichever will run, and by one within', () => {
    const opOf = (value: ReturnType<typeof put>) =>
      create(RequestOpSchema, { request: { case: 'requestPut', value } });
    const foreign = opOf(put({ key: bytes('b'), value: bytes('anna') }));
    const nested = create(RequestOpSchema, {
      request: { case: 'requestTxn', value: create(TxnRequestSchema, { success: [opOf(put(OWN))] }) },
    });
    for (const txn of [{ success: [foreign] }, { failure: [foreign] }, { failure: [nested] }]) {
      assert.throws(() => access.txn(anna, create(TxnRequestSchema, txn)), DENIED);
    }
    access.txn(anna, create(TxnRequestSchema, { success: [opOf(put(OWN))] }));
  });

  test('keeping the value of a key counts as writing what is there', () => {
    access.put(anna, put({ key: bytes('a'), ignoreValue: true }));
    assert.throws(() => access.put(anna, put({ key: bytes('b'), ignoreValue: true })), DENIED);
    assert.throws(() => access.put(anna, put({ key: bytes('new'), ignoreValue: true })), /key not found/);
  });

  test('administers nothing', () => {
    assert.throws(() => access.admin(anna), DENIED);
    assert.throws(() => access.unrestricted(anna), DENIED);
    access.admin(caller('anna'));
  });
});
