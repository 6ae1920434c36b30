import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { NetlinkError } from './errors.ts';

const { EEXIST } = constants.errno;

test("a refusal has the kernel's number, its sentence and where in the request it applies", () => {
  const extendedAck = { message: 'Nexthop has invalid gateway', offset: 24 };
  const error = new NetlinkError('batch', 'replace route 10.3.2.0/24', EEXIST, extendedAck);
  assert.deepEqual(
    { code: error.code, errno: error.errno, extendedAck: error.extendedAck, context: error.context },
    { code: 'EEXIST', errno: EEXIST, extendedAck, context: { what: 'replace route 10.3.2.0/24' } },
  );
  assert.match(
    error.message,
    /^replace route 10\.3\.2\.0\/24: Nexthop has invalid gateway \[.*exists\] \(EEXIST\)$/,
  );
});

test('without a sentence of the kernel the number explains itself', () => {
  const { message, extendedAck } = new NetlinkError('batch', 'add link br0', EEXIST);
  assert.match(message, /^add link br0: [^[]*exists \(EEXIST\)$/);
  assert.deepEqual(extendedAck, {});
});
