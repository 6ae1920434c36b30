/** Programs in the kernel: loading them, and attaching them to what they are for. Gone with the last descriptor. */
import { isCode } from '../base/errors.ts';
import { SysError } from '../sys/errors.ts';
import { close } from '../sys/libc.ts';
import type { ProgramText } from './assembler.ts';
import { BpfAttributes, COMMAND, textBytes } from './command.ts';
import { BpfError } from './errors.ts';
import { openById, type ProgramInfo, programInfo } from './info.ts';
import { INSTRUCTION_SIZE } from './instructions.ts';
import { unsupported } from './obstacle.ts';
import { refusalIn } from './verifier-log.ts';

/** enum bpf_prog_type. */
const TYPES = { 'traffic control': 3, xdp: 6, 'raw tracepoint': 17 } as const;
/** enum bpf_attach_type; tcx is of Linux 6.6. */
const LINK_POINTS = { 'tcx ingress': 46, 'tcx egress': 47, xdp: 37 } as const;
/** Helpers that read the kernel's memory are for programs of this license alone. */
const LICENSE = 'GPL';
/** The verifier writes a line for each step of each way through the program; what it says last is what matters. */
const LOG_SIZE = 1 << 22;
/** E2BIG: a program of more steps than it looks at; ENOSPC: a log that has no place. */
const VERIFIER_CODES = ['EACCES', 'EINVAL', 'E2BIG', 'ENOSPC'] as const;

export interface BpfProgramOptions {
  readonly type: keyof typeof TYPES;
  /** For people who look with bpftool. */
  readonly name: string;
  readonly instructions: ProgramText;
}

export class BpfProgram implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @throws BpfError REJECTED, UNSUPPORTED; SysError when the kernel could not do it now (`isPassing`) */
  static load(options: BpfProgramOptions): BpfProgram {
    try {
      return new BpfProgram(attributesOf(options).runToEnd(COMMAND.loadProgram));
    } catch (error) {
      // The verifier says more when it is asked.
      throw error instanceof SysError && isCode(error, ...VERIFIER_CODES)
        ? rejected(options, error)
        : unsupported(error);
    }
  }

  /** One that is there already, whoever loaded it; undefined when there is none. @throws SysError */
  static open(id: number): BpfProgram | undefined {
    const fd = openById(COMMAND.openProgram, id);
    return fd === undefined ? undefined : new BpfProgram(fd);
  }

  get fd(): number {
    return this.#fd;
  }

  /** @throws SysError */
  info(): ProgramInfo {
    return programInfo(this.#fd);
  }

  /**
   * Runs the program whenever the kernel passes a tracepoint (`skb:kfree_skb` is `kfree_skb`), until disposal of what is
   * returned and of the program.
   *
   * @throws BpfError UNSUPPORTED, SysError
   */
  attachToTracepoint(name: string): Disposable {
    return attached(() =>
      new BpfAttributes(16).pointer(0, textBytes(name)).u32(8, this.#fd).run(COMMAND.openRawTracepoint),
    );
  }

  /**
   * Runs the program for each packet at a point of a network link, until disposal of what is returned.
   *
   * @param index of the link, in the namespace of the calling thread. @throws BpfError UNSUPPORTED, SysError
   */
  attachToLink(index: number, point: keyof typeof LINK_POINTS): Disposable {
    return attached(() =>
      new BpfAttributes(16).u32(0, this.#fd).u32(4, index).u32(8, LINK_POINTS[point]).run(COMMAND.createLink),
    );
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}

function attached(open: () => number): Disposable {
  try {
    const fd = open();
    return { [Symbol.dispose]: () => close(fd) };
  } catch (error) {
    throw unsupported(error);
  }
}

function attributesOf({ type, name, instructions }: BpfProgramOptions): BpfAttributes {
  return new BpfAttributes(64)
    .u32(0, TYPES[type])
    .u32(4, instructions.bytes.byteLength / INSTRUCTION_SIZE)
    .pointer(8, instructions.bytes)
    .pointer(16, textBytes(LICENSE))
    .name(48, name);
}

/** Loads once more, for the verifier's log. */
function rejected(options: BpfProgramOptions, cause: SysError): BpfError {
  const log = new Uint8Array(LOG_SIZE);
  try {
    const asking = attributesOf(options).u32(24, 1).u32(28, log.byteLength).pointer(32, log);
    close(asking.runToEnd(COMMAND.loadProgram));
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
  const end = log.indexOf(0);
  const text = new TextDecoder().decode(log.subarray(0, end < 0 ? log.byteLength : end)).trim();
  const { instruction, text: last } = refusalIn(text);
  const place = instruction === undefined ? undefined : options.instructions.placeOf(instruction);
  return new BpfError(
    'REJECTED',
    `the kernel does not accept the program ${options.name}${place === undefined ? '' : ` at ${place}`}: ${last || cause.message}`,
    { context: { log: text }, cause },
  );
}
