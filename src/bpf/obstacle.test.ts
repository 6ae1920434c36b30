import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../base/errors.ts';
import { SysError } from '../sys/errors.ts';
import { type BpfSurroundings, linkProgramObstacleIn, obstacleIn, unsupported } from './obstacle.ts';

const FINE: BpfSurroundings = {
  hasCall: true,
  status: 'Name:\tnode\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n',
  userMap: '         0          0 4294967295\n',
  lockdown: '[none] integrity confidentiality\n',
  hasBtf: true,
};

test('a process that may do all on a kernel that has all', () => {
  assert.equal(obstacleIn(FINE), undefined);
  // CAP_BPF and CAP_PERFMON alone, and a kernel without lockdown.
  assert.equal(obstacleIn({ ...FINE, status: 'CapEff:\t000000c000000000', lockdown: '' }), undefined);
});

test('each obstacle is one reason', () => {
  const cases: readonly [Partial<BpfSurroundings>, RegExp][] = [
    [{ hasCall: false }, /processors of type/],
    [{ status: 'CapEff:\t0000000000003000' }, /CAP_BPF.*root is needed/],
    // CAP_BPF without CAP_PERFMON, which lets no program read the kernel's memory.
    [{ status: 'CapEff:\t0000008000000000' }, /CAP_PERFMON/],
    [{ status: 'garbage' }, /CAP_BPF/],
    [{ userMap: '         0       1000          1\n' }, /user namespace/],
    [{ lockdown: 'none integrity [confidentiality]\n' }, /locked down/],
    [{ hasBtf: false }, /vmlinux is missing/],
  ];
  for (const [change, wanted] of cases) assert.match(obstacleIn({ ...FINE, ...change }) ?? '', wanted);
});

test('programs at links need no description of types, and no right to read memory', () => {
  const locked = { ...FINE, hasBtf: false, lockdown: 'none integrity [confidentiality]\n' };
  assert.equal(linkProgramObstacleIn(locked), undefined);
  const cases: readonly [Partial<BpfSurroundings>, RegExp][] = [
    [{ hasCall: false }, /processors of type/],
    // CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN attach, but find nothing again.
    [{ status: 'CapEff:\t000000c000001000' }, /lacks CAP_SYS_ADMIN/],
    [{ status: 'CapEff:\t0000000000200000' }, /lacks CAP_NET_ADMIN/],
    [{ userMap: '         0       1000          1\n' }, /user namespace/],
  ];
  for (const [change, wanted] of cases)
    assert.match(linkProgramObstacleIn({ ...FINE, ...change }) ?? '', wanted);
});

test('a refusal of the kernel becomes one error; other errors stay', () => {
  const error = unsupported(new SysError('BPF_PROG_LOAD', 38));
  assert.match(messageOf(error), /^the kernel runs no program here: /);
  const other = new RangeError('x');
  assert.equal(unsupported(other), other);
});

test('what the kernel could not do at that moment is no reason against it', () => {
  // EAGAIN, EINTR, ENOMEM, EMFILE.
  for (const errno of [11, 4, 12, 24]) {
    const error = new SysError('BPF_PROG_LOAD', errno);
    assert.equal(unsupported(error), error);
  }
});
