/**
 * Fuzzing: invalid inputs, made from valid ones. Everything is drawn from one seed, so
 * a failure happens again when it is asked for.
 *
 * A parser takes part by a FuzzTarget in targets.ts.
 */
import { formatHex } from '../../src/base/bytes.ts';

export interface FuzzTarget {
  readonly name: string;
  /** Takes whatever it is given, and makes of it what it can. */
  readonly lenient?: boolean;
  /** Well-formed inputs to start from. */
  readonly seeds: readonly Uint8Array[];
  /**
   * Feeds the parser; false when it refused the input in the way it should.
   * @throws anything else, which is the bug that fuzzing looks for
   */
  accepts(input: Uint8Array): boolean;
}

export interface FuzzCount {
  readonly name: string;
  inputs: number;
  accepted: number;
}

/** The same seed gives the same sequence: a 32-bit generator (Marsaglia's xorshift). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** From 0 up to, not including, `bound`. */
  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** Numbers at which lengths and ranges go wrong. */
const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 63, 64, 127, 128, 254, 255];

const MUTATIONS: readonly ((bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array)[] = [
  // A bit, a byte, a 16-bit word in the host's order.
  (bytes, random) => set(bytes, random, byte => byte ^ (1 << random.below(8))),
  (bytes, random) => set(bytes, random, () => random.pick(EDGES)),
  (bytes, random) => set(bytes, random, () => random.below(256)),
  (bytes, random) => {
    const changed = bytes.slice();
    const at = random.below(bytes.length + 1) & ~1;
    if (at + 2 <= changed.length) new DataView(changed.buffer).setUint16(at, random.pick(EDGES), true);
    return changed;
  },
  // Cut, repeated, inserted, joined.
  (bytes, random) => bytes.slice(0, random.below(bytes.length + 1)),
  (bytes, random) => {
    const start = random.below(bytes.length + 1);
    const part = bytes.subarray(start, start + random.below(32));
    return join(bytes.subarray(0, start), part, bytes.subarray(start));
  },
  (bytes, random) => {
    const start = random.below(bytes.length + 1);
    const noise = Uint8Array.from({ length: random.below(16) }, () => random.below(256));
    return join(bytes.subarray(0, start), noise, bytes.subarray(start));
  },
  (bytes, random, other) =>
    join(bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))),
];

/** One of the seeds, changed one to four times. */
export function mutate(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  let input = random.pick(seeds);
  for (let mutations = random.below(4); mutations >= 0; mutations--) {
    input = random.pick(MUTATIONS)(input, random, random.pick(seeds));
  }
  return input;
}

/** @throws Error that names target, seed and input of the first failure */
export function fuzz(targets: readonly FuzzTarget[], inputs: number, seed: number): FuzzCount[] {
  const random = new Random(seed);
  const counts: FuzzCount[] = targets.map(({ name }) => ({ name, inputs: 0, accepted: 0 }));
  for (let number = 0; number < inputs; number++) {
    const index = number % targets.length;
    const target = targets[index] as FuzzTarget;
    const count = counts[index] as FuzzCount;
    const input = mutate(target.seeds, random);
    count.inputs++;
    try {
      if (target.accepts(input)) count.accepted++;
    } catch (cause) {
      const where = `${target.name}, seed ${seed}, input ${number}`;
      throw new Error(
        `${where}: ${formatHex(input)} ${JSON.stringify(Buffer.from(input).toString('latin1'))}`,
        { cause },
      );
    }
  }
  return counts;
}

function set(bytes: Uint8Array, random: Random, change: (byte: number) => number): Uint8Array {
  const changed = bytes.slice();
  const at = random.below(Math.max(1, bytes.length));
  if (at < bytes.length) changed[at] = change(changed[at] ?? 0);
  return changed;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
