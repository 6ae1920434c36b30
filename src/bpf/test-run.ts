/** BPF_PROG_TEST_RUN: a program's answer to one packet, without a link (Documentation/bpf/bpf_prog_run.rst). */
import { BpfAttributes, COMMAND } from './command.ts';
import type { BpfProgram } from './program.ts';
import { SOCKET_BUFFER } from './socket-buffer.ts';

/** Room for what a program puts in front of a packet. */
const GROWTH = 256;

export interface TestPacket {
  /** From the Ethernet header on. */
  readonly bytes: Uint8Array;
  /** Of the socket buffer, as far as the kernel lets them be chosen; `ifindex` is the link that it comes by. */
  readonly fields?: Partial<Record<'mark' | 'priority' | 'ifindex' | 'gsoSize' | 'gsoSegs', number>>;
  /** How often the program runs; the packet is the same one each time. */
  readonly repeat?: number;
}

export interface TestResult {
  /** What the program returned: a verdict. */
  readonly verdict: number;
  readonly bytes: Uint8Array;
  readonly mark: number;
  readonly priority: number;
  /** Nanoseconds that one run took. */
  readonly duration: number;
}

/** @throws SysError */
export function testRun(program: BpfProgram, { bytes, fields = {}, repeat = 1 }: TestPacket): TestResult {
  const output = new Uint8Array(bytes.byteLength + GROWTH);
  const context = new Uint8Array(SOCKET_BUFFER.size);
  const attributes = new BpfAttributes(80)
    .u32(0, program.fd)
    .u32(8, bytes.byteLength)
    .u32(12, output.byteLength)
    .pointer(16, bytes)
    .pointer(24, output)
    .u32(32, repeat)
    .u32(40, SOCKET_BUFFER.size)
    .u32(44, context.byteLength)
    .pointer(48, SOCKET_BUFFER.encode(fields))
    .pointer(56, context);
  attributes.runToEnd(COMMAND.testRun);
  const { mark, priority } = SOCKET_BUFFER.decode(context);
  return {
    verdict: attributes.answer32(4) | 0,
    bytes: output.slice(0, attributes.answer32(12)),
    mark,
    priority,
    duration: attributes.answer32(36),
  };
}
