import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalIn } from './verifier-log.ts';

/** Of Linux 6.18. */
const LOG = `func#0 @0
0: R1=ctx() R10=fp0
0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()
1: (61) r7 = *(u32 *)(r6 +76)         ; R6=ctx() R7=pkt(r=0)
2: (71) r0 = *(u8 *)(r7 +0)
invalid access to packet, off=0 size=1, R7(id=0,off=0,r=0)
R7 offset is outside of the packet
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;

test('the last instruction and the reason', () => {
  const { instruction, text } = refusalIn(LOG);
  assert.equal(instruction, 2);
  assert.match(text, /R7 offset is outside of the packet$/);
  assert.match(text, /2: \(71\) r0 = \*\(u8 \*\)\(r7 \+0\)/);
  assert.doesNotMatch(text, /processed/);
});

test('a log that names no instruction', () => {
  assert.deepEqual(refusalIn('last insn is not an exit or jmp\nprocessed 0 insns\n'), {
    instruction: undefined,
    text: 'last insn is not an exit or jmp',
  });
  assert.deepEqual(refusalIn(''), { instruction: undefined, text: '' });
});
