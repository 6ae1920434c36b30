/** Programs that the real kernel accepts, runs and refuses. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatHex } from '../../src/base/bytes.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { Btf } from '../../src/bpf/btf.ts';
import type { BpfError } from '../../src/bpf/errors.ts';
import { HELPERS } from '../../src/bpf/helpers.ts';
import { FP, R0, R1, R2, R6, R7, R8 } from '../../src/bpf/instructions.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { KERNEL_BTF } from '../../src/bpf/obstacle.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { SOCKET_BUFFER } from '../../src/bpf/socket-buffer.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { bpftool, needsBpf, needsBpftool } from '../support/bpftool.ts';

const SKB = SOCKET_BUFFER.at;
const load = (text: Assembler) =>
  BpfProgram.load({ type: 'traffic control', name: 'tt_program', instructions: text.finish() });

/** What a program leaves in R0 that begins with two values in R1 and R2. */
function result(write: (program: Assembler) => Assembler, [one, two]: readonly [bigint, bigint]): number {
  const text = new Assembler().loadNumber(R1, one).loadNumber(R2, two).move(R0, 0);
  using program = load(write(text).label('end').exit());
  return testRun(program, { bytes: new Uint8Array(64) }).verdict;
}

const OPERATIONS: readonly [string, (program: Assembler) => Assembler, readonly [bigint, bigint], number][] =
  [
    ['add on 64 bits', p => p.add(R1, R2).shiftRight(R1, 32).move(R0, R1), [0xffff_ffffn, 1n], 1],
    ['add on 32 bits', p => p.add(R1, R2, 32).shiftRight(R1, 32).move(R0, R1), [0xffff_ffffn, 1n], 0],
    ['subtract', p => p.subtract(R1, R2).move(R0, R1), [5n, 7n], -2],
    ['multiply', p => p.arithmetic('multiply', R1, R2).move(R0, R1), [5n, 7n], 35],
    ['divide', p => p.arithmetic('divide', R1, R2).move(R0, R1), [50n, 7n], 7],
    ['modulo', p => p.arithmetic('modulo', R1, R2).move(R0, R1), [50n, 7n], 1],
    ['or', p => p.or(R1, R2).move(R0, R1), [5n, 8n], 13],
    ['and', p => p.and(R1, R2).move(R0, R1), [5n, 12n], 4],
    ['xor', p => p.xor(R1, R2).move(R0, R1), [5n, 12n], 9],
    ['shift left', p => p.shiftLeft(R1, 4).move(R0, R1), [5n, 0n], 80],
    ['shift right, signed', p => p.arithmetic('shiftRightSigned', R1, 1).move(R0, R1), [-4n, 0n], -2],
    ['negate', p => p.arithmetic('negate', R1, 0).move(R0, R1), [4n, 0n], -4],
    ['big endian 16', p => p.toBigEndian(R1, 16).move(R0, R1), [0x1234n, 0n], 0x3412],
    ['big endian 32', p => p.toBigEndian(R1, 32).move(R0, R1), [0x1234_5678n, 0n], 0x7856_3412],
    ['signed less', p => p.jumpIf(R1, 's<', R2, 'less').jump('end').label('less').move(R0, 1), [-1n, 1n], 1],
    ['unsigned less', p => p.jumpIf(R1, '<', R2, 'less').jump('end').label('less').move(R0, 1), [-1n, 1n], 0],
    [
      'compare 32 bits',
      p => p.jumpIf(R1, '==', R2, 'same', 32).jump('end').label('same').move(R0, 1),
      [0x1_0000_0001n, 1n],
      1,
    ],
  ];

for (const [name, write, values, wanted] of OPERATIONS)
  test(`the kernel computes: ${name}`, needsBpf, () => {
    assert.equal(result(write, values), wanted);
  });

test('numbers of helpers are those of this kernel', needsBpf, () => {
  const names = new Btf(readFileSync(KERNEL_BTF)).enumNames('bpf_func_id');
  for (const [name, number] of Object.entries(HELPERS)) assert.equal(names.get(number), `BPF_FUNC_${name}`);
});

test('the socket buffer is as this kernel has it', needsBpf, () => {
  const types = new Btf(readFileSync(KERNEL_BTF));
  const renamed: Readonly<Record<string, string>> = {
    pktType: 'pkt_type',
    queueMapping: 'queue_mapping',
    vlanPresent: 'vlan_present',
    ingressIfindex: 'ingress_ifindex',
    dataEnd: 'data_end',
    gsoSegs: 'gso_segs',
    gsoSize: 'gso_size',
    wireLen: 'wire_len',
  };
  for (const name of [
    'len',
    'mark',
    'protocol',
    'priority',
    'ifindex',
    'data',
    'hwtstamp',
    ...Object.keys(renamed),
  ])
    assert.equal(
      SKB[name as keyof typeof SKB].offset,
      types.offsetOf('__sk_buff', renamed[name] ?? name),
      name,
    );
});

test('a packet is read and written, and a value of an array without a call', needsBpf, () => {
  using map = BpfMap.create({ type: 'array', name: 'tt_array', keySize: 4, valueSize: 16, entries: 1 });
  const text = new Assembler().move(R6, R1).loadField(R7, R6, SKB.data).loadField(R8, R6, SKB.dataEnd);
  text.move(R1, R7).add(R1, 64).jumpIf(R1, '>', R8, 'end').load(R2, R7, 0, 4).store(R7, 60, R2, 4);
  text.loadMapValue(R1, map, 8).move(R2, 3).atomicFetchAdd(R1, 0, R2, 8).atomicAdd(R1, 0, R2, 8);
  text.storeField(R6, SKB.mark, 7).label('end').loadField(R0, R6, SKB.priority).exit();
  using program = load(text);
  map.set(new Uint8Array(4), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0));
  const bytes = Uint8Array.from({ length: 64 }, (_, index) => index);
  const answer = testRun(program, { bytes, fields: { priority: 9 } });
  assert.deepEqual([answer.verdict, answer.mark, answer.priority], [9, 7, 9]);
  assert.equal(formatHex(answer.bytes.subarray(60)), '00010203');
  assert.equal(map.get(new Uint8Array(4))?.[8], 5 + 3 + 5);
});

test('what the verifier refuses is named by the line that wrote it', needsBpf, () => {
  const text = new Assembler().loadField(R7, R1, SKB.data);
  const line = new Error().stack?.split('\n')[1]?.match(/:(\d+):\d+\)?$/)?.[1];
  text.load(R0, R7, 0, 1).exit();
  assert.throws(
    () => load(text),
    (error: BpfError) => {
      assert.equal(error.code, 'REJECTED');
      const place = `test/integration/bpf-program.test.ts:${Number(line) + 1}`;
      assert.ok(error.message.includes(`tt_program at ${place}: `), error.message);
      assert.match(error.message, /R7 offset is outside of the packet/);
      assert.match(String(error.context?.['log']), /^.*0: R1=ctx/s);
      return true;
    },
  );
});

test('bpftool reads instructions as they were written', needsBpftool, async () => {
  const text = new Assembler().move(R6, R1).loadField(R1, R6, SKB.len).move(R0, -2, 32).toBigEndian(R0, 16);
  text.add(R0, R1, 32).arithmetic('shiftRightSigned', R0, 1).xor(R0, R1).store(FP, -8, R0, 8).move(R2, 3);
  text.atomicAdd(FP, -8, R2, 8).atomicFetchAdd(FP, -8, R2, 8).jumpIf(R0, 's<', R2, 'end');
  text
    .jumpIf(R1, '&', 7, 'end', 32)
    .loadNumber(R0, 2n ** 33n)
    .call('ktime_get_coarse_ns')
    .label('end')
    .move(R0, 0)
    .exit();
  using program = load(text);
  const dump = (await bpftool(['prog', 'dump', 'xlated', 'id', `${program.info().id}`])) as {
    disasm: string;
  }[];
  assert.deepEqual(
    dump.map(({ disasm }) => disasm.replace(/^\(\w+\) /, '').replace(/#\S+/, '')),
    [
      'r6 = r1',
      // The length is 112 bytes into struct sk_buff, or wherever this kernel has it.
      dump[1]?.disasm.replace(/^\(\w+\) /, ''),
      'w0 = -2',
      'r0 = be16 r0',
      'w0 += w1',
      'r0 s>>= 1',
      'r0 ^= r1',
      '*(u64 *)(r10 -8) = r0',
      'r2 = 3',
      'lock *(u64 *)(r10 -8) += r2',
      'r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)',
      'if r0 s< r2 goto pc+4',
      'if w1 & 0x7 goto pc+3',
      'r0 = 0x200000000',
      'call bpf_ktime_get_coarse_ns',
      'r0 = 0',
      'exit',
    ],
  );
});
