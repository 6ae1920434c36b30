import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { StoreError, type StoreErrorCode } from '../store.ts';
import { isRefusedUnrun, isTokenRefused, storeErrorOf, storeErrorOfReason, summaryOf } from './errors.ts';

function serviceError(code: status, details: string): ServiceError {
  const metadata = new Metadata();
  metadata.set('token', 's3cret.1');
  return Object.assign(new Error(`${code} ${details}`), { code, details, metadata });
}

const table: [StoreErrorCode, status, details: string][] = [
  ['UNAVAILABLE', status.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED'],
  ['UNAVAILABLE', status.UNAVAILABLE, 'etcdserver: no leader'],
  ['UNAVAILABLE', status.DEADLINE_EXCEEDED, 'Deadline exceeded'],
  ['UNAVAILABLE', status.INTERNAL, 'Received RST_STREAM with code 2 (Internal server error)'],
  ['UNAUTHENTICATED', status.UNAVAILABLE, 'No connection established. Last error: certificate has expired'],
  [
    'UNAUTHENTICATED',
    status.INVALID_ARGUMENT,
    'etcdserver: authentication failed, invalid user ID or password',
  ],
  ['UNAUTHENTICATED', status.UNAUTHENTICATED, 'etcdserver: invalid auth token'],
  ['UNAUTHENTICATED', status.INVALID_ARGUMENT, 'etcdserver: user name is empty'],
  ['FORBIDDEN', status.PERMISSION_DENIED, 'etcdserver: permission denied'],
  ['EXHAUSTED', status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded'],
  ['EXHAUSTED', status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests'],
  ['PROTOCOL', status.RESOURCE_EXHAUSTED, 'Received message larger than max (99 vs 9)'],
  ['COMPACTED', status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted'],
  ['PROTOCOL', status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision is a future revision'],
  ['LEASE_LOST', status.NOT_FOUND, 'etcdserver: requested lease not found'],
  ['PROTOCOL', status.INVALID_ARGUMENT, 'etcdserver: request is too large'],
  ['PROTOCOL', status.INTERNAL, 'Response message parsing error: premature EOF'],
  ['PROTOCOL', status.UNIMPLEMENTED, 'unknown service etcdserverpb.KV'],
];

for (const [code, grpcCode, details] of table) {
  test(`${status[grpcCode]} "${details}" is ${code}`, () => {
    const error = storeErrorOf(serviceError(grpcCode, details), 'put', 'http://a:2379');
    assert.equal(error.code, code);
    assert.equal(error.op, 'put');
    assert.match(error.message, /http:\/\/a:2379/);
  });
}

test('D7: a certificate that is not valid now hints at the clock, and a refused lease at no role', () => {
  const hintOf = (code: status, details: string) =>
    storeErrorOf(serviceError(code, details), 'put', 'x').hint;
  const failed = (why: string) => hintOf(status.UNAVAILABLE, `No connection established. Last error: ${why}`);
  assert.match(failed('certificate is not yet valid') ?? '', /clock/);
  assert.match(failed('certificate has expired') ?? '', /clock/);
  assert.match(failed('self-signed certificate') ?? '', /certificates of both sides/);
  const refused = 'etcdserver: permission denied: a host has one lease';
  assert.match(hintOf(status.PERMISSION_DENIED, refused) ?? '', /its own lease/);
  assert.match(hintOf(status.PERMISSION_DENIED, 'etcdserver: permission denied') ?? '', /a role/);
});

test('the same failure has the same words each time', () => {
  const details =
    'No connection established. Last error: connect ECONNREFUSED 127.0.0.1:2379 (2026-01-02T03:04:05.678Z). Resolution note: ';
  const { message } = storeErrorOf(serviceError(status.UNAVAILABLE, details), 'get', 'http://a:2379');
  assert.equal(message, 'get at http://a:2379: connect ECONNREFUSED 127.0.0.1:2379');
  const late = 'Deadline exceeded after 8.004s,metadata filters: 0.002s,remote_addr=127.0.0.1:2379';
  assert.match(
    storeErrorOf(serviceError(status.DEADLINE_EXCEEDED, late), 'put', 'http://a:2379').message,
    /^put at http:\/\/a:2379: no answer in 8\.004 s$/,
  );
});

test('a token in the metadata of a failed call goes no further', () => {
  const error = storeErrorOf(serviceError(status.UNAVAILABLE, 'x'), 'put', 'http://a:2379');
  assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /s3cret/);
});

test('a StoreError stays what it is; anything else is a PROTOCOL error with its cause', () => {
  const known = new StoreError('LEASE_LOST', 'gone');
  assert.equal(storeErrorOf(known, 'put', 'http://a'), known);
  const cause = new TypeError('odd');
  const error = storeErrorOf(cause, 'put', 'http://a');
  assert.deepEqual([error.code, error.cause], ['PROTOCOL', cause]);
});

test('only a refusal before anything ran lets a write be sent again', () => {
  const refused = (details: string) => isRefusedUnrun(serviceError(status.UNAVAILABLE, details));
  assert.equal(refused('etcdserver: no leader'), true);
  assert.equal(refused('etcdserver: request timed out'), false);
  assert.equal(refused('Connection dropped'), false);
  assert.equal(isTokenRefused(serviceError(status.UNAUTHENTICATED, 'etcdserver: invalid auth token')), true);
  assert.equal(
    isTokenRefused(serviceError(status.PERMISSION_DENIED, 'etcdserver: permission denied')),
    false,
  );
});

test('why a watch was cancelled is understood in the words of etcd and in those of Go', () => {
  const codes = [
    'etcdserver: permission denied',
    'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token',
    'etcdserver: mvcc: required revision has been compacted',
    'etcdserver: no leader',
    '',
  ].map(reason => storeErrorOfReason(reason, 'watch', 'http://a').code);
  assert.deepEqual(codes, ['FORBIDDEN', 'UNAUTHENTICATED', 'COMPACTED', 'UNAVAILABLE', 'UNAVAILABLE']);
});

test('one failure speaks for itself; several become one, with a code that all of them have', () => {
  const failure = (code: StoreErrorCode, hint?: string) =>
    new StoreError(code, `no: ${code}`, hint === undefined ? {} : { hint });
  const refused = failure('UNAUTHENTICATED', 'look at the certificate');
  assert.equal(summaryOf('get', [refused]), refused);
  for (const [failures, code] of [
    [[refused, failure('UNAUTHENTICATED')], 'UNAUTHENTICATED'],
    [[refused, failure('UNAVAILABLE')], 'UNAVAILABLE'],
  ] as const) {
    const { message, hint, ...summary } = summaryOf('get', failures);
    assert.deepEqual([message, summary.code, hint], ['get: no endpoint answers', code, refused.hint]);
  }
});
