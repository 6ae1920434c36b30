/**
 * bpf(2): programs, maps and links of the kernel's own virtual machine (include/uapi/linux/bpf.h). One call for all
 * commands; its argument is a union of structs, in which pointers are 64 bits wide.
 */
import koffi from 'koffi';
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { SysError } from './errors.ts';

/** __NR_bpf: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h, and those of the others. */
const NUMBERS: Readonly<Partial<Record<NodeJS.Architecture, number>>> = {
  x64: 321,
  arm64: 280,
  riscv64: 280,
  loong64: 280,
  ppc64: 361,
  s390x: 351,
};

/** Whether the number of the call is known for this processor. */
export const hasBpfCall = (): boolean => NUMBERS[process.arch] !== undefined;

const c = koffi.load(null);
const syscall = c.func('long syscall(long, int, void *, unsigned int)') as (
  number: number,
  command: number,
  attributes: Uint8Array,
  size: number,
) => number;

export interface BpfCommand {
  /** enum bpf_cmd. */
  readonly number: number;
  /** For the error: `BPF_PROG_LOAD`. */
  readonly name: string;
}

/** Where in the attributes the address of some bytes belongs. */
export interface BpfPointer {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Of these bytes, in turn. */
  readonly pointers?: readonly BpfPointer[];
}

/**
 * @param attributes the part of union bpf_attr that the command takes; pointers are filled in here, answers by the kernel
 * @returns a descriptor, close-on-exec, for the commands that make one
 * @throws SysError
 */
export function bpfCall(
  { number, name }: BpfCommand,
  attributes: Uint8Array,
  pointers: readonly BpfPointer[] = [],
): number {
  const call = NUMBERS[process.arch];
  if (call === undefined) throw new SysError(name, ENOSYS);
  fillIn(attributes, pointers);
  const result = Number(syscall(call, number, attributes, attributes.byteLength));
  if (result < 0) throw new SysError(name, koffi.errno());
  return result;
}

function fillIn(target: Uint8Array, pointers: readonly BpfPointer[]): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  for (const { offset, bytes, pointers: inside = [] } of pointers) {
    fillIn(bytes, inside);
    view.setBigUint64(offset, BigInt(koffi.address(bytes)), HOST_IS_LITTLE);
  }
}

/** include/uapi/asm-generic/errno.h. */
const ENOSYS = 38;
