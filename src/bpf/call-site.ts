/** Where in the source an instruction was written. Taking one note costs a microsecond; words are made when they are wanted. */
import { fileURLToPath } from 'node:url';

/** Frames between what writes an instruction and the line that wanted it. */
const DEPTH = 6;

/** What `captureStackTrace` fills in. */
export interface CallSite {
  readonly stack?: string;
}

/** @param within the function whose caller is the first candidate */
export function callSite(within: (...values: never[]) => unknown): CallSite {
  const site: CallSite = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  Error.captureStackTrace(site, within);
  Error.stackTraceLimit = limit;
  return site;
}

/** `src/fastpath/programs/transmit.ts:42`: the first line that is not in this file's folder; undefined when none is known. */
export function placeOfCall({ stack = '' }: CallSite): string | undefined {
  const here = fileURLToPath(new URL('.', import.meta.url));
  for (const [, url = '', line] of stack.matchAll(/(file:\/\/\/[^\s():]+):(\d+):\d+/g)) {
    const path = fileURLToPath(url);
    if (!path.startsWith(here) || path.endsWith('.test.ts')) return `${path.slice(rootLength(here))}:${line}`;
  }
  return undefined;
}

/** Of `/…/src/bpf/` the part before `src/`. */
const rootLength = (folder: string): number =>
  folder.lastIndexOf('/', folder.lastIndexOf('/', folder.length - 2) - 1) + 1;
