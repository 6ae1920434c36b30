/**
 * Blocks of addresses and what they stand for, asked for overlap: "does anything overlap 10.5.34.0/24?".
 *
 * Two blocks overlap only when one contains the other. So there is one level per prefix length in use, keyed by
 * the network bits, and each level also knows which of its blocks have longer ones inside. A question costs a
 * lookup per level, and a real network has one or two.
 */
import { ADDRESS_BITS, type Family } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';

export interface BlockEntry<T> {
  readonly block: Prefix;
  readonly value: T;
}

interface Level<T> {
  readonly length: number;
  /** By network bits. */
  readonly blocks: Map<bigint, BlockEntry<T>>;
  /** By network bits of this level: the longer blocks inside. */
  readonly inside: Map<bigint, Set<BlockEntry<T>>>;
}

export class BlockMap<T> {
  readonly #levels: Readonly<Record<Family, Map<number, Level<T>>>> = { ipv4: new Map(), ipv6: new Map() };

  /** Adds a block whether it overlaps others or not; the first of two equal ones stays. */
  add(block: Prefix, value: T): void {
    const address = block.ip.toBigInt();
    const { blocks } = this.#level(block.family, block.length);
    const bits = networkBits(block.family, address, block.length);
    if (blocks.has(bits)) return;
    const entry = { block, value };
    blocks.set(bits, entry);
    for (const level of this.#levels[block.family].values()) {
      if (level.length < block.length)
        addInside(level, networkBits(block.family, address, level.length), entry);
    }
  }

  /** Removes exactly this block, if it is there. */
  delete(block: Prefix): void {
    const address = block.ip.toBigInt();
    const levels = this.#levels[block.family];
    const bits = networkBits(block.family, address, block.length);
    const entry = levels.get(block.length)?.blocks.get(bits);
    if (entry === undefined) return;
    levels.get(block.length)?.blocks.delete(bits);
    for (const level of levels.values()) {
      if (level.length >= block.length) continue;
      const outer = networkBits(block.family, address, level.length);
      const inside = level.inside.get(outer);
      inside?.delete(entry);
      if (inside?.size === 0) level.inside.delete(outer);
    }
  }

  /** All blocks that overlap this one: those that contain it, the longest first, then those inside it. */
  overlaps(block: Prefix): readonly BlockEntry<T>[] {
    const address = block.ip.toBigInt();
    const found: BlockEntry<T>[] = [];
    for (const level of this.#levels[block.family].values()) {
      if (level.length > block.length) continue;
      const container = level.blocks.get(networkBits(block.family, address, level.length));
      if (container !== undefined) found.push(container);
    }
    found.sort((a, b) => b.block.length - a.block.length);
    // Only a level of the same length knows what is inside; asking for a length for the first time makes it.
    const { inside } = this.#level(block.family, block.length);
    found.push(...(inside.get(networkBits(block.family, address, block.length)) ?? []));
    return found;
  }

  #level(family: Family, length: number): Level<T> {
    const levels = this.#levels[family];
    const existing = levels.get(length);
    if (existing !== undefined) return existing;
    const level: Level<T> = { length, blocks: new Map(), inside: new Map() };
    for (const longer of levels.values()) {
      if (longer.length <= length) continue;
      for (const entry of longer.blocks.values()) {
        addInside(level, networkBits(family, entry.block.ip.toBigInt(), length), entry);
      }
    }
    levels.set(length, level);
    return level;
  }
}

function addInside<T>(level: Level<T>, bits: bigint, entry: BlockEntry<T>): void {
  const inside = level.inside.get(bits);
  if (inside === undefined) level.inside.set(bits, new Set([entry]));
  else inside.add(entry);
}

const networkBits = (family: Family, address: bigint, length: number) =>
  address >> BigInt(ADDRESS_BITS[family] - length);
