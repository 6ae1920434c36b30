/** Each instruction against its encoding in RFC 9669, and as bpftool prints it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex } from '../base/bytes.ts';
import { fc } from '../testing/properties.ts';
import { Assembler } from './assembler.ts';
import { FP, R0, R1, R2, R6, R7 } from './instructions.ts';
import { MemoryLayout } from './memory-layout.ts';

/** On a host with little-endian byte order. */
const VECTORS: readonly [string, (program: Assembler) => Assembler, string][] = [
  ['r6 = r1', program => program.move(R6, R1), 'bf16000000000000'],
  ['r0 = -2', program => program.move(R0, -2), 'b7000000feffffff'],
  ['r2 += -8', program => program.add(R2, -8), '07020000f8ffffff'],
  ['r7 += r1', program => program.add(R7, R1), '0f17000000000000'],
  ['r1 &= 255', program => program.and(R1, 255), '57010000ff000000'],
  ['r7 = *(u64 *)(r1 +8)', program => program.load(R7, R1, 8, 8), '7917080000000000'],
  ['r1 = *(u32 *)(r6 +16)', program => program.load(R1, R6, 16, 4), '6161100000000000'],
  ['r1 = *(u16 *)(r10 -2)', program => program.load(R1, FP, -2, 2), '69a1feff00000000'],
  ['r0 = *(u8 *)(r0 +0)', program => program.load(R0, R0, 0, 1), '7100000000000000'],
  ['*(u64 *)(r10 -8) = r7', program => program.store(FP, -8, R7, 8), '7b7af8ff00000000'],
  ['*(u64 *)(r10 -8) = 0', program => program.store(FP, -8, 0, 8), '7a0af8ff00000000'],
  ['*(u8 *)(r10 -1) = r1', program => program.store(FP, -1, R1, 1), '731affff00000000'],
  ['r1 = map[id:..]', program => program.loadMap(R1, { fd: 7 }), '18110000070000000000000000000000'],
  ['call bpf_ktime_get_ns#5', program => program.call('ktime_get_ns'), '8500000005000000'],
  ['exit', program => program.exit(), '9500000000000000'],
  [
    'if r0 == 0 goto +1',
    program => program.jumpIf(R0, '==', 0, 'end').exit().label('end'),
    '1500010000000000 95',
  ],
  ['if r1 != r2 goto +0', program => program.jumpIf(R1, '!=', R2, 'end').label('end'), '5d21000000000000'],
  ['if r1 > 5 goto -1', program => program.label('top').jumpIf(R1, '>', 5, 'top'), '2501ffff05000000'],
  ['w7 += w1', program => program.add(R7, R1, 32), '0c17000000000000'],
  ['w7 += 1', program => program.add(R7, 1, 32), '0407000001000000'],
  ['r7 -= r1', program => program.subtract(R7, R1), '1f17000000000000'],
  ['r7 *= 3', program => program.arithmetic('multiply', R7, 3), '2707000003000000'],
  ['r7 /= 3', program => program.arithmetic('divide', R7, 3), '3707000003000000'],
  ['r7 |= r1', program => program.or(R7, R1), '4f17000000000000'],
  ['r7 <<= 8', program => program.shiftLeft(R7, 8), '6707000008000000'],
  ['w7 >>= 16', program => program.shiftRight(R7, 16, 32), '7407000010000000'],
  ['r7 %= 3', program => program.arithmetic('modulo', R7, 3), '9707000003000000'],
  ['r7 ^= -1', program => program.xor(R7, -1), 'a7070000ffffffff'],
  ['r7 s>>= 1', program => program.arithmetic('shiftRightSigned', R7, 1), 'c707000001000000'],
  ['r7 = be16 r7', program => program.toBigEndian(R7, 16), 'dc07000010000000'],
  ['r7 = be64 r7', program => program.toBigEndian(R7, 64), 'dc07000040000000'],
  ['lock *(u64 *)(r7 +8) += r1', program => program.atomicAdd(R7, 8, R1, 8), 'db17080000000000'],
  ['r1 = atomic_fetch_add((u32 *)(r7 +8), r1)', p => p.atomicFetchAdd(R7, 8, R1, 4), 'c317080001000000'],
  ['r1 = map value', program => program.loadMapValue(R1, { fd: 7 }, 16), '18210000070000000000000010000000'],
  ['r1 = 0x8000000000000001 ll', p => p.loadNumber(R1, 2n ** 63n + 1n), '18010000010000000000000000000080'],
  ['call bpf_redirect_peer#155', program => program.call('redirect_peer'), '850000009b000000'],
  ['if r1 s< 0 goto +0', p => p.jumpIf(R1, 's<', 0, 'end').label('end'), 'c501000000000000'],
  ['if w1 & 7 goto +0', p => p.jumpIf(R1, '&', 7, 'end', 32).label('end'), '4601000007000000'],
  ['if w1 >= w2 goto +0', p => p.jumpIf(R1, '>=', R2, 'end', 32).label('end'), '3e21000000000000'],
  ['goto +0', program => program.jump('end').label('end'), '0500000000000000'],
];

for (const [text, write, hex] of VECTORS) {
  test(text, () => {
    assert.ok(formatHex(write(new Assembler()).finish().bytes).startsWith(hex.replaceAll(' ', '')));
  });
}

test('a jump passes over both halves of a map', () => {
  const program = new Assembler().jump('end').loadMap(R1, { fd: 1 }).label('end').exit();
  assert.equal(formatHex(program.finish().bytes.subarray(0, 8)), '0500020000000000');
});

test('a field is read by its width, and copied by the largest steps', () => {
  const { at } = new MemoryLayout('pair', { mac: 6, port: 'be16', link: 'u32' });
  assert.equal(formatHex(new Assembler().loadField(R7, R1, at.link, 14).finish().bytes), '6117160000000000');
  assert.equal(formatHex(new Assembler().storeField(R7, at.port, 1).finish().bytes), '6a07060001000000');
  assert.throws(() => new Assembler().loadField(R7, R1, at.mac), /no register holds a field of 6 bytes/);
  const copy = new Assembler().copy([R1, 0], [R2, 2], 7, R6).finish().bytes;
  assert.equal(
    formatHex(copy),
    '61160000000000006362020000000000' +
      '69160400000000006b62060000000000' +
      '71160600000000007362080000000000',
  );
});

test('an instruction knows where it was written', () => {
  const text = new Assembler().move(R0, 0).exit().finish();
  assert.match(text.placeOf(1) ?? '', /^src\/bpf\/assembler\.test\.ts:\d+$/);
  assert.equal(text.placeOf(2), undefined);
});

test('mistakes in a program are errors when it is finished', () => {
  assert.throws(() => new Assembler().jump('nowhere').finish(), /no label "nowhere"/);
  assert.throws(() => new Assembler().label('here').label('here'), /two labels "here"/);
});

test('a number is encoded as it is, or refused', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -(2 ** 34), max: 2 ** 34 }),
      fc.integer({ min: -70_000, max: 70_000 }),
      (value, offset) => {
        const fits = value >= -(2 ** 31) && value < 2 ** 31 && offset >= -32_768 && offset < 32_768;
        const write = () => new Assembler().store(FP, offset, value, 8).finish();
        if (!fits) return assert.throws(write, RangeError);
        const view = new DataView(write().bytes.buffer);
        assert.deepEqual([view.getInt16(2, true), view.getInt32(4, true)], [offset, value]);
      },
    ),
  );
});
