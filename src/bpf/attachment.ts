/**
 * Programs at the two points of a network link (tcx, Linux 6.6), attached without a link of BPF: the attachment keeps the
 * program, and the program its maps, whatever becomes of the process. A device that goes takes its attachments along.
 * Several programs at a point run in order; each may let the packet go to the next one (Documentation of
 * include/uapi/linux/bpf.h, BPF_MPROG).
 */
import { isCode } from '../base/errors.ts';
import { SysError } from '../sys/errors.ts';
import { BpfAttributes, COMMAND } from './command.ts';

/** enum bpf_attach_type. */
const POINTS = { ingress: 46, egress: 47 } as const;
const BPF_F_REPLACE = 4;
const MOST_PROGRAMS = 64;
const ANY_REVISION = 0n;

export type LinkPoint = keyof typeof POINTS;

/** What runs at a point, and a number that changes whenever that does. */
export interface AttachedPrograms {
  /** Of programs, in the order in which they run. */
  readonly ids: readonly number[];
  readonly revision: bigint;
}

/**
 * @param index of a link in the namespace of the calling thread
 * @returns undefined when there is no such link. @throws SysError EINVAL: the kernel has no tcx
 */
export function attachedPrograms(index: number, point: LinkPoint): AttachedPrograms | undefined {
  const bytes = new Uint8Array(4 * MOST_PROGRAMS);
  const query = new BpfAttributes(64)
    .u32(0, index)
    .u32(4, POINTS[point])
    .pointer(16, bytes)
    .u32(24, MOST_PROGRAMS);
  const found = unlessGone(() => query.run(COMMAND.query));
  if (found === undefined) return undefined;
  const ids = new Uint32Array(bytes.buffer, 0, Math.min(query.answer32(24), MOST_PROGRAMS));
  return { ids: [...ids], revision: query.answer64(56) };
}

export interface AttachOptions {
  /** Of a link in the namespace of the calling thread. */
  readonly index: number;
  readonly point: LinkPoint;
  /** Descriptor of the program. */
  readonly program: number;
  /** Of what was seen there before: the kernel refuses with ESTALE when that has changed. Whatever is there unless given. */
  readonly revision?: bigint;
}

/**
 * Behind all that are there; or in the place of one of them, in one step.
 *
 * @param replaced descriptor of that one. @throws SysError ENODEV, ESTALE, EEXIST; ENOENT: that one is not there
 */
export function attachProgram({ index, point, program, revision }: AttachOptions, replaced?: number): void {
  const attributes = new BpfAttributes(32)
    .u32(0, index)
    .u32(4, program)
    .u32(8, POINTS[point])
    .u64(24, revision ?? ANY_REVISION);
  if (replaced !== undefined) attributes.u32(12, BPF_F_REPLACE).u32(16, replaced);
  attributes.run(COMMAND.attach);
}

/** @throws SysError ENODEV, ESTALE; ENOENT: it is not there */
export function detachProgram({ index, point, program, revision }: AttachOptions): void {
  new BpfAttributes(32)
    .u32(0, index)
    .u32(4, program)
    .u32(8, POINTS[point])
    .u64(24, revision ?? ANY_REVISION)
    .run(COMMAND.detach);
}

function unlessGone<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof SysError && isCode(error, 'ENODEV')) return undefined;
    throw error;
  }
}
