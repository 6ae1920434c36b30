/**
 * Giving memory back to the kernel. V8 and the C library keep what a burst of work needed, in case there is
 * another one; a daemon that does its work once and then watches for weeks has no use for it.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MADV_DONTNEED, madvise, trimHeap } from './libc.ts';

/** Collects all garbage and returns free pages. Takes some milliseconds per megabyte in use: not for hot paths. */
export function releaseMemory(): void {
  // The collector is reached only through this flag, which may be set at any time.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  // Any other flavor keeps the emptied pages in a pool.
  collect({ type: 'major', flavor: 'last-resort' });
  trimHeap();
  unmapProgramText();
}

/**
 * Lets go of the program's own machine code, most of which ran once, at the start. It is a clean copy of a file:
 * what is needed comes back from the page cache, 64 KiB at a time.
 */
function unmapProgramText(): void {
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) r-xp .* (\/.*)$/.exec(line) ?? [];
    if (start === undefined || end === undefined || !line.endsWith(` ${process.execPath}`)) continue;
    const first = BigInt(`0x${start}`);
    madvise(first, Number(BigInt(`0x${end}`) - first), MADV_DONTNEED);
  }
}
