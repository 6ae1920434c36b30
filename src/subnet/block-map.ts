/**
 * Blocks of addresses and what they stand for, asked for overlap: "does anything overlap 10.5.34.0/24?".
 *
 * Two blocks overlap only when one contains the other. So there is one level per prefix length in use, keyed by
 * the network bits, and each level also knows which of its blocks have longer ones inside. A question costs a
 * lookup per level, and a real network has one or two.
 */
import { ADDRESS_BITS, type Family } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';

interface Entry<T> {
  readonly block: Prefix;
  readonly value: T;
}

interface Level<T> {
  readonly length: number;
  /** By network bits. */
  readonly blocks: Map<bigint, Entry<T>>;
  /** By network bits of this level: one of the longer blocks inside. */
  readonly inside: Map<bigint, Entry<T>>;
}

export class BlockMap<T> {
  readonly #levels: Readonly<Record<Family, Map<number, Level<T>>>> = { ipv4: new Map(), ipv6: new Map() };

  /** Adds a block whether it overlaps others or not; the first of two equal ones stays. */
  add(block: Prefix, value: T): void {
    const address = block.ip.toBigInt();
    const entry = { block, value };
    const { blocks } = this.#level(block.family, block.length);
    const bits = networkBits(block.family, address, block.length);
    if (!blocks.has(bits)) blocks.set(bits, entry);
    for (const level of this.#levels[block.family].values()) {
      if (level.length < block.length) {
        level.inside.set(networkBits(block.family, address, level.length), entry);
      }
    }
  }

  /** A block that overlaps this one: the longest of those that contain it, else any of those inside it. */
  overlapping(block: Prefix): Entry<T> | undefined {
    const address = block.ip.toBigInt();
    let container: Entry<T> | undefined;
    for (const level of this.#levels[block.family].values()) {
      if (level.length > block.length) continue;
      const found = level.blocks.get(networkBits(block.family, address, level.length));
      if (found && (container === undefined || found.block.length > container.block.length))
        container = found;
    }
    if (container !== undefined) return container;
    // Only a level of the same length knows what is inside; asking for a length for the first time makes it.
    return this.#level(block.family, block.length).inside.get(
      networkBits(block.family, address, block.length),
    );
  }

  #level(family: Family, length: number): Level<T> {
    const levels = this.#levels[family];
    const existing = levels.get(length);
    if (existing !== undefined) return existing;
    const level: Level<T> = { length, blocks: new Map(), inside: new Map() };
    for (const longer of levels.values()) {
      if (longer.length <= length) continue;
      for (const entry of longer.blocks.values()) {
        level.inside.set(networkBits(family, entry.block.ip.toBigInt(), length), entry);
      }
    }
    levels.set(length, level);
    return level;
  }
}

const networkBits = (family: Family, address: bigint, length: number) =>
  address >> BigInt(ADDRESS_BITS[family] - length);
