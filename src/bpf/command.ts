/** The commands of bpf(2) that are used here, and the layout of their attributes (union bpf_attr, include/uapi/linux/bpf.h). */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { isCode } from '../base/errors.ts';
import { type BpfCommand, type BpfPointer, bpfCall } from '../sys/bpf-call.ts';
import { holdingSignals } from '../sys/signal-mask.ts';

/** enum bpf_cmd. */
export const COMMAND = {
  createMap: { number: 0, name: 'BPF_MAP_CREATE' },
  lookUp: { number: 1, name: 'BPF_MAP_LOOKUP_ELEM' },
  update: { number: 2, name: 'BPF_MAP_UPDATE_ELEM' },
  deleteElement: { number: 3, name: 'BPF_MAP_DELETE_ELEM' },
  loadProgram: { number: 5, name: 'BPF_PROG_LOAD' },
  attach: { number: 8, name: 'BPF_PROG_ATTACH' },
  detach: { number: 9, name: 'BPF_PROG_DETACH' },
  openProgram: { number: 13, name: 'BPF_PROG_GET_FD_BY_ID' },
  openMap: { number: 14, name: 'BPF_MAP_GET_FD_BY_ID' },
  info: { number: 15, name: 'BPF_OBJ_GET_INFO_BY_FD' },
  query: { number: 16, name: 'BPF_PROG_QUERY' },
  testRun: { number: 10, name: 'BPF_PROG_TEST_RUN' },
  openRawTracepoint: { number: 17, name: 'BPF_RAW_TRACEPOINT_OPEN' },
  lookUpBatch: { number: 24, name: 'BPF_MAP_LOOKUP_BATCH' },
  createLink: { number: 28, name: 'BPF_LINK_CREATE' },
} as const satisfies Record<string, BpfCommand>;

/** BPF_OBJ_NAME_LEN, with a NUL at its end: what bpftool shows. */
export const NAME_SIZE = 16;

/** What stops a process for a moment does not do it ten times in a row. */
const MOST_TRIES = 10;

/** One union bpf_attr. What is not set is 0. */
export class BpfAttributes {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #pointers: BpfPointer[] = [];

  /** @param size of the part that a command takes: the kernel wants zeros in what it does not know */
  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, HOST_IS_LITTLE);
    return this;
  }
  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, HOST_IS_LITTLE);
    return this;
  }
  /** @param pointers that these bytes hold themselves */
  pointer(offset: number, bytes: Uint8Array, pointers: readonly BpfPointer[] = []): this {
    this.#pointers.push({ offset, bytes, pointers });
    return this;
  }
  /** @param text of letters, digits, `_` and `.`; what is too long is cut off */
  name(offset: number, text: string): this {
    new TextEncoder().encodeInto(text, this.#bytes.subarray(offset, offset + NAME_SIZE - 1));
    return this;
  }

  /** What the kernel has written there in answer. */
  answer32(offset: number): number {
    return this.#view.getUint32(offset, HOST_IS_LITTLE);
  }
  answer64(offset: number): bigint {
    return this.#view.getBigUint64(offset, HOST_IS_LITTLE);
  }

  /** @throws SysError */
  run(command: BpfCommand): number {
    return bpfCall(command, this.#bytes, this.#pointers);
  }

  /**
   * Runs a command that the kernel gives up as soon as a signal waits for the thread: EAGAIN while it verifies a program,
   * EINTR between two runs of one (bpf_prog_test_run). With a profiler at work that would be each time. @throws SysError
   */
  runToEnd(command: BpfCommand): number {
    return holdingSignals(() => {
      for (let left = MOST_TRIES; ; left--) {
        try {
          return this.run(command);
        } catch (error) {
          if (left === 1 || !isCode(error, 'EAGAIN', 'EINTR')) throw error;
        }
      }
    });
  }
}

/** A text with a NUL at its end. */
export const textBytes = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);
