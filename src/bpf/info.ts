/** What the kernel says of maps and programs that are there, whoever made them: struct bpf_map_info, bpf_prog_info. */
import { HOST_IS_LITTLE, Reader } from '../base/bytes.ts';
import { isCode } from '../base/errors.ts';
import type { BpfCommand, BpfPointer } from '../sys/bpf-call.ts';
import { SysError } from '../sys/errors.ts';
import { close } from '../sys/libc.ts';
import { BpfAttributes, COMMAND, NAME_SIZE } from './command.ts';

export interface MapInfo {
  /** enum bpf_map_type. */
  readonly type: number;
  /** Among all maps of this kernel; after its end another may get it. */
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly entries: number;
  readonly name: string;
}

export interface ProgramInfo {
  /** enum bpf_prog_type. */
  readonly type: number;
  /** Among all programs of this kernel; after its end another may get it. */
  readonly id: number;
  /** Hash over its instructions, in which maps are not told apart: 16 hexadecimal digits, as bpftool shows it. */
  readonly tag: string;
  readonly name: string;
  /** Of the maps that it uses. */
  readonly mapIds: readonly number[];
  /** Bytes of instructions, as the verifier has left them. */
  readonly size: number;
  /** Bytes of machine code; 0 where the kernel interprets it. */
  readonly compiledSize: number;
}

/** Parts of the structs that every kernel has (Linux 4.15), and the name. */
const MAP_INFO_SIZE = 40;
const PROGRAM_INFO_SIZE = 80;
/** More than the kernel lets a program use (MAX_USED_MAPS). */
const MOST_MAPS = 64;

/** @throws SysError */
export function mapInfo(fd: number): MapInfo {
  const info = new Uint8Array(MAP_INFO_SIZE);
  readInfo(fd, info);
  const reader = new Reader(info, 'bpf_map_info');
  const numbers = {
    type: reader.u32(),
    id: reader.u32(),
    keySize: reader.u32(),
    valueSize: reader.u32(),
    entries: reader.u32(),
  };
  reader.skip(4);
  return { ...numbers, name: nameIn(reader) };
}

/** @throws SysError */
export function programInfo(fd: number): ProgramInfo {
  const maps = new Uint8Array(4 * MOST_MAPS);
  const info = new Uint8Array(PROGRAM_INFO_SIZE);
  new DataView(info.buffer).setUint32(52, MOST_MAPS, HOST_IS_LITTLE);
  readInfo(fd, info, [{ offset: 56, bytes: maps }]);
  const reader = new Reader(info, 'bpf_prog_info');
  const head = {
    type: reader.u32(),
    id: reader.u32(),
    tag: Buffer.from(reader.bytes(8)).toString('hex'),
    compiledSize: reader.u32(),
    size: reader.u32(),
  };
  reader.skip(28);
  const count = Math.min(reader.u32(), MOST_MAPS);
  reader.skip(8);
  const ids = new Reader(maps, 'ids of maps');
  return { ...head, mapIds: Array.from({ length: count }, () => ids.u32()), name: nameIn(reader) };
}

/** undefined when there is none (any more). @throws SysError */
export function programInfoById(id: number): ProgramInfo | undefined {
  const fd = openById(COMMAND.openProgram, id);
  if (fd === undefined) return undefined;
  try {
    return programInfo(fd);
  } finally {
    close(fd);
  }
}

/** A descriptor; undefined when nothing has the id (any more). @throws SysError */
export function openById(command: BpfCommand, id: number): number | undefined {
  return unlessNone(() => new BpfAttributes(12).u32(0, id).run(command));
}

/** undefined where the kernel answers ENOENT. @throws SysError */
export function unlessNone<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof SysError && isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function readInfo(fd: number, info: Uint8Array, pointers: readonly BpfPointer[] = []): void {
  new BpfAttributes(16).u32(0, fd).u32(4, info.byteLength).pointer(8, info, pointers).run(COMMAND.info);
}

/** With a NUL at its end, unless it fills its place. */
function nameIn(reader: Reader): string {
  const bytes = reader.bytes(NAME_SIZE);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
