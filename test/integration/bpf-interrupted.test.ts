/**
 * Programs are loaded and run while signals come all the time, as under a profiler: the kernel stops looking at a program at
 * each of them. Nothing follows from that for what the kernel can.
 */
import assert from 'node:assert/strict';
import { Session } from 'node:inspector/promises';
import { type TestContext, test } from 'node:test';
import { isCode } from '../../src/base/errors.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { BpfAttributes, COMMAND, textBytes } from '../../src/bpf/command.ts';
import { FP, INSTRUCTION_SIZE, R0, R1, R2, R6 } from '../../src/bpf/instructions.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { SOCKET_BUFFER } from '../../src/bpf/socket-buffer.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { fastPathObstacle } from '../../src/fastpath/obstacle.ts';
import { needsBpf } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';

/** Microseconds between two signals. */
const INTERVAL = 50;
/** Enough ways through the program for the verifier to look for many milliseconds: two to the power of this. */
const BRANCHES = 12;
/** Packets that take as long. */
const REPEAT = 1_000_000;

/** The verifier has to go each way by itself: where it writes in the end depends on all branches. */
function manyWays() {
  const text = new Assembler().move(R6, R1).loadField(R1, R6, SOCKET_BUFFER.at.len).move(R0, 0);
  for (let bit = 0; bit < BRANCHES; bit++)
    text
      .jumpIf(R1, '&', 1 << bit, `${bit}`)
      .add(R0, 8 << bit)
      .label(`${bit}`);
  text.and(R0, 0xf8).move(R2, FP).add(R2, -256).add(R2, R0).store(R2, 0, 0, 8).move(R0, -1).exit();
  return text.finish();
}

/** This thread gets a signal in each interval, from the profiler of V8, until the end of the test. */
async function profiled(t: TestContext): Promise<void> {
  const session = new Session();
  session.connect();
  t.after(() => session.disconnect());
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL });
  await session.post('Profiler.start');
}

/** Waits until the kernel has given up `call` for a signal: without that a test would say nothing. */
const untilInterrupted = (code: 'EAGAIN' | 'EINTR', call: () => void) =>
  eventually(`a signal interrupts: ${code}`, async () => {
    try {
      call();
      return false;
    } catch (error) {
      if (!isCode(error, code)) throw error;
      return true;
    }
  });

test('a program is loaded although a signal comes each moment', needsBpf, async t => {
  const instructions = manyWays();
  await profiled(t);
  await untilInterrupted('EAGAIN', () => {
    new BpfAttributes(64)
      .u32(0, 3)
      .u32(4, instructions.bytes.byteLength / INSTRUCTION_SIZE)
      .pointer(8, instructions.bytes)
      .pointer(16, textBytes('GPL'))
      .run(COMMAND.loadProgram);
  });
  for (let round = 0; round < 20; round++)
    BpfProgram.load({ type: 'traffic control', name: 'tt_ways', instructions })[Symbol.dispose]();
});

test('the reason for a refusal is the whole one then', needsBpf, async t => {
  await profiled(t);
  const text = new Assembler().move(R0, R2).exit().finish();
  for (let round = 0; round < 20; round++)
    assert.throws(() => BpfProgram.load({ type: 'traffic control', name: 'tt_wrong', instructions: text }), {
      code: 'REJECTED',
      message: /R2 !read_ok/,
    });
});

test('a program that runs for many packets is not stopped either', needsBpf, async t => {
  using program = BpfProgram.load({ type: 'traffic control', name: 'tt_ways', instructions: manyWays() });
  await profiled(t);
  const bytes = new Uint8Array(64);
  await untilInterrupted('EINTR', () => {
    new BpfAttributes(80)
      .u32(0, program.fd)
      .u32(8, bytes.byteLength)
      .pointer(16, bytes)
      .u32(32, REPEAT)
      .run(COMMAND.testRun);
  });
  for (let round = 0; round < 5; round++)
    assert.equal(testRun(program, { bytes, repeat: REPEAT }).verdict, -1);
});

test('the kernel is not said to lack what it has', needsBpf, async t => {
  await profiled(t);
  for (let round = 0; round < 20; round++) assert.equal(await fastPathObstacle(), undefined);
});
