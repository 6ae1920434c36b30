import assert from 'node:assert/strict';
import { test } from 'node:test';
import { report } from '../../../test/support/check-case.ts';
import { PeerError, type PeerErrorCode } from '../../api/peer/peer-error.ts';
import { lookTwice } from './look-twice.ts';

/** Fails as told, in turn, and then answers. */
function inspectorThat(...failures: PeerErrorCode[]) {
  const left = [...failures];
  const look = () => {
    const code = left.shift();
    return code === undefined ? Promise.resolve(report(2)) : Promise.reject(new PeerError(code, code));
  };
  return { look, left };
}

const signal = new AbortController().signal;

test('a host that answers the second time is not silent', async () => {
  for (const code of ['UNREACHABLE', 'TIMEOUT'] as const)
    assert.equal((await lookTwice(inspectorThat(code), signal)).host, 'docker2');
});

test('one that answers neither time is, and what another try cannot change is said at once', async () => {
  await assert.rejects(lookTwice(inspectorThat('TIMEOUT', 'TIMEOUT'), signal), { code: 'TIMEOUT' });
  const refusing = inspectorThat('NOT_LISTENING', 'NOT_LISTENING');
  await assert.rejects(lookTwice(refusing, signal), { code: 'NOT_LISTENING' });
  assert.deepEqual(refusing.left, ['NOT_LISTENING'], 'asked once');
});
