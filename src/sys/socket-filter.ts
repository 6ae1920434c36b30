/**
 * Instructions of filters that the kernel runs on what a socket would receive (include/uapi/linux/filter.h). What they
 * drop costs this process nothing.
 */

import type { FilterInstruction } from './libc.ts';

export type { FilterInstruction } from './libc.ts';

export const instruction = (code: number, k: number, jt = 0, jf = 0): FilterInstruction => ({
  code,
  jt,
  jf,
  k,
});

/** @param offset in the message or frame, or one of the two below. Compared as big endian. */
export const loadWord = (offset: number) => instruction(0x20, offset);
export const loadHalf = (offset: number) => instruction(0x28, offset);
export const loadByte = (offset: number) => instruction(0x30, offset);
/** @param skip instructions that are passed over when it is so, and when it is not */
export const whetherEqual = (value: number, skip: number, otherwise = 0) =>
  instruction(0x15, value, skip, otherwise);
/** Ends the filter. @param bytes how much is kept; 0 drops it */
export const keep = (bytes: number) => instruction(0x06, bytes);

/**
 * What the kernel knows of a frame, as offsets (SKF_AD_OFF): its type (PACKET_HOST, ...), the index of its link, and the
 * kind of that (ARPHRD_*).
 */
export const PACKET_TYPE = (-0x1000 + 4) >>> 0;
export const LINK_INDEX = (-0x1000 + 8) >>> 0;
export const LINK_TYPE = (-0x1000 + 28) >>> 0;
