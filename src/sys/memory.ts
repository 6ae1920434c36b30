/**
 * Giving memory back to the kernel. V8 and the C library keep what a burst of work needed, in case there is
 * another one; a daemon that does its work once and then watches for weeks has no use for it.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MADV_DONTNEED, madvise, trimHeap } from './libc.ts';

/** Bytes of the process that are in memory, with those that other processes share. Takes 10 us. */
export function residentMemory(): number {
  return process.memoryUsage.rss();
}

/** Collects all garbage and returns the pages. Takes some milliseconds per megabyte in use: not for hot paths. */
export function collectGarbage(): void {
  // The collector is reached only through this flag, which may be set at any time.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  // Any other flavor keeps the emptied pages in a pool.
  collect({ type: 'major', flavor: 'last-resort' });
}

/** Returns what is free, or can be had again for little. Takes about a millisecond. */
export function returnFreeMemory(): void {
  trimHeap();
  releaseProgram();
}

/**
 * Lets go of the machine code and the constants of Node and its libraries, most of which serve only the start.
 * They are clean copies of files: what is needed comes back from the page cache, 64 KiB at a time and in
 * microseconds.
 */
export function releaseProgram(): void {
  const mappings = readFileSync('/proc/self/maps', 'latin1').split('\n').map(parseMapping);
  for (const [index, mapping] of mappings.entries()) {
    if (mapping === undefined || !isCleanCopy(mapping, mappings[index + 1])) continue;
    madvise(mapping.start, Number(mapping.end - mapping.start), MADV_DONTNEED);
  }
}

/** A line of proc_pid_maps(5). */
interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  /** `r-xp` */
  readonly mode: string;
  readonly file: string;
}

function parseMapping(line: string): Mapping | undefined {
  const [, start, end, mode = '', file = ''] =
    /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line) ?? [];
  return start === undefined
    ? undefined
    : { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), mode, file };
}

/**
 * Whether a mapping holds what its file holds. One that lies right before a writable mapping of the same file may
 * be what the dynamic linker has filled in and then protected (PT_GNU_RELRO): that is nowhere else.
 */
function isCleanCopy({ mode, file, end }: Mapping, next: Mapping | undefined): boolean {
  if (!file.startsWith('/') || !/^r-[x-]p$/.test(mode)) return false;
  return next?.file !== file || next.start !== end || !next.mode.startsWith('rw');
}
