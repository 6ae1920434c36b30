import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeErrno, SysError } from './errors.ts';

test('a failed call says which one, about what, and why', () => {
  const error = new SysError('open', 2, { path: '/dev/nope' });
  assert.equal(error.message, 'open /dev/nope: no such file or directory (ENOENT)');
  assert.deepEqual([error.code, error.errno, error.op], ['ENOENT', 2, 'open']);
});

test('an unknown error number is still shown', () => {
  assert.deepEqual(describeErrno(530), { code: 'ERRNO_530', text: 'error 530' });
});

test('what is not supported is not called a matter of sockets', () => {
  assert.deepEqual(describeErrno(95), { code: 'ENOTSUP', text: 'operation not supported' });
  assert.equal(describeErrno(116).code, 'ESTALE');
});
