/**
 * What the running kernel can do for programs at links. It is asked, by loading and running something small: distributions
 * have parts of newer kernels in older ones.
 */
import { isCode, messageOf } from '../base/errors.ts';
import { isPassing } from '../sys/errors.ts';
import { Assembler } from './assembler.ts';
import { BpfError } from './errors.ts';
import type { Helper } from './helpers.ts';
import { R0, R1, R2, R3, R4 } from './instructions.ts';
import { BpfMap, type MapOptions } from './map.ts';
import { BpfProgram } from './program.ts';
import { testRun } from './test-run.ts';

/** undefined when it is there, else one sentence. @throws SysError when it could not be found out now (`isPassing`) */
export type Probe = () => string | undefined;

const loadOf = (text: Assembler) =>
  BpfProgram.load({ type: 'traffic control', name: 'tulle_probe', instructions: text.finish() });

/** A program that answers every packet the same. @throws BpfError */
export const probeProgram = (verdict: number) => loadOf(new Assembler().move(R0, verdict).exit());

/** Whether any program is accepted at all. */
export const probePrograms: Probe = () => obstacleOf(() => probeProgram(0)[Symbol.dispose]());

/** @param words for the sentence: `LRU hash maps (Linux 4.10)` */
export function probeMap(type: MapOptions['type'], words: string): Probe {
  const isRing = type === 'ring buffer';
  const sizes = isRing
    ? { keySize: 0, valueSize: 0, entries: 4096 * 16 }
    : { keySize: 4, valueSize: 4, entries: 1 };
  return () =>
    obstacleOf(() => BpfMap.create({ type, name: 'tulle_probe', ...sizes })[Symbol.dispose](), words);
}

/** A function of the kernel that takes one or two numbers, or nothing. @param words for the sentence */
export function probeHelper(helper: Helper, words: string): Probe {
  return () =>
    obstacleOf(() => {
      loadOf(new Assembler().move(R1, 0).move(R2, 0).call(helper).move(R0, 0).exit())[Symbol.dispose]();
    }, words);
}

/**
 * Whether a program may make a packet longer or shorter behind its Ethernet header in that way: the flags are looked at when
 * it runs.
 *
 * @param packet from the Ethernet header on. @param words for the sentence
 */
export function probeAdjustRoom(
  { bytes, length, flags }: { readonly bytes: Uint8Array; readonly length: number; readonly flags: bigint },
  words: string,
): Probe {
  return () =>
    obstacleOf(() => {
      const text = new Assembler().move(R2, length).move(R3, 1).loadNumber(R4, flags);
      using program = loadOf(text.call('skb_adjust_room').exit());
      const { verdict } = testRun(program, { bytes });
      if (verdict !== 0) throw new BpfError('UNSUPPORTED', `bpf_skb_adjust_room answers ${verdict}`);
    }, words);
}

/** @param words for what is missing when the kernel knows nothing of it */
function obstacleOf(attempt: () => void, words?: string): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (isPassing(error)) throw error;
    const isUnknown = words !== undefined && !isCode(error, 'EPERM', 'ENOSYS');
    return isUnknown ? `this kernel has no ${words}` : messageOf(error);
  }
}
