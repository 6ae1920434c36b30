/** Reads many entries of a map with few calls. */
import { isCode } from '../base/errors.ts';
import { SysError } from '../sys/errors.ts';
import { BpfAttributes, COMMAND } from './command.ts';

export type MapEntry = readonly [key: Uint8Array, value: Uint8Array];

export interface EntrySizes {
  readonly keySize: number;
  readonly valueSize: number;
}

/** Entries of a call. A hash answers in whole buckets: one that holds more makes the kernel ask for more room. */
const BATCH = 512;

/**
 * Up to `most` entries of a hash or an array. The kernel goes on where it has stopped, by bucket, so that an end comes
 * whatever programs add meanwhile. @throws SysError
 */
export function* readEntries(
  fd: number,
  { keySize, valueSize }: EntrySizes,
  most: number,
  batch = BATCH,
): Generator<MapEntry, void> {
  // Of a hash the number of a bucket, of an array a key.
  const place = new Uint8Array(Math.max(4, keySize));
  let isFirst = true;
  let room = batch;
  for (let left = most; left > 0; ) {
    const keys = new Uint8Array(room * keySize);
    const values = new Uint8Array(room * valueSize);
    const call = new BpfAttributes(56).pointer(8, place).pointer(16, keys).pointer(24, values);
    if (!isFirst) call.pointer(0, place);
    const end = runBatch(call.u32(32, room).u32(36, fd));
    if (end === 'too small') {
      room *= 2;
      continue;
    }
    isFirst = false;
    const count = Math.min(call.answer32(32), left);
    for (let at = 0; at < count; at++) {
      yield [
        keys.slice(at * keySize, (at + 1) * keySize),
        values.slice(at * valueSize, (at + 1) * valueSize),
      ];
    }
    if (end === 'last') return;
    left -= count;
  }
}

function runBatch(call: BpfAttributes): 'more' | 'last' | 'too small' {
  try {
    call.run(COMMAND.lookUpBatch);
    return 'more';
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (isCode(error, 'ENOENT')) return 'last';
    if (isCode(error, 'ENOSPC')) return 'too small';
    throw error;
  }
}
