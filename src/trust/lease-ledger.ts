/**
 * Every lease of a network by what may be asked of it before another one is written: whose it is, which addresses it
 * publishes, which blocks it takes. One lease more or less costs the same however many there are.
 */
import { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import type { KeyValue } from '../store/store.ts';
import { BlockMap } from '../subnet/lease/block-map.ts';
import { addressesOf, decodeLease, isLease, type Lease, type RejectedLease } from '../subnet/lease/lease.ts';
import { type TakenBlock, takenBlocksOf } from '../subnet/lease/taken-blocks.ts';

interface Entry {
  readonly read: Lease | RejectedLease;
  /** As flannel reads it: what is no good lease takes its blocks all the same. */
  readonly takenBlocks: readonly TakenBlock[];
}

/** Keys by what they have in common. */
type Index = Map<string, Set<string>>;

export class LeaseLedger {
  readonly #entries = new Map<string, Entry>();
  readonly #byHost: Index = new Map();
  readonly #byAddress: Index = new Map();
  readonly #byBlock: Index = new Map();
  readonly #blocks = new BlockMap<string>();

  /** @param key the last path element of `kv.key` */
  put(key: string, kv: KeyValue): void {
    this.delete(key);
    const read = decodeLease(key, kv);
    const takenBlocks = takenBlocksOf(key, kv);
    this.#entries.set(key, { read, takenBlocks });
    for (const { block } of takenBlocks) {
      add(this.#byBlock, block.toString(), key);
      this.#blocks.add(block, block.toString());
    }
    if (!isLease(read)) return;
    const { hostId } = read.attributes;
    if (hostId !== undefined) add(this.#byHost, hostId, key);
    for (const address of addressesOf(read.attributes)) add(this.#byAddress, `${address}`, key);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    for (const { block } of entry.takenBlocks) {
      if (remove(this.#byBlock, block.toString(), key)) this.#blocks.delete(block);
    }
    if (!isLease(entry.read)) return;
    remove(this.#byHost, entry.read.attributes.hostId ?? '', key);
    for (const address of addressesOf(entry.read.attributes)) remove(this.#byAddress, `${address}`, key);
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.delete(key);
  }

  get(key: string): Lease | RejectedLease | undefined {
    return this.#entries.get(key)?.read;
  }

  /** Keys of the leases that name this host. */
  keysOfHost(hostId: string): ReadonlySet<string> {
    return this.#byHost.get(hostId) ?? NONE;
  }

  /** Keys of the leases that publish this address. */
  keysOfAddress(address: Ip): ReadonlySet<string> {
    return this.#byAddress.get(address.toString()) ?? NONE;
  }

  /** Every address that a lease publishes. */
  addresses(): Ip[] {
    return Array.from(this.#byAddress.keys(), text => Ip.parse(text));
  }

  /** What takes a part of this block. */
  overlapping(block: Prefix): readonly TakenBlock[] {
    const keys = this.#blocks.overlaps(block).flatMap(({ value }) => [...(this.#byBlock.get(value) ?? NONE)]);
    const takenBlocks = keys.flatMap(key => this.#entries.get(key)?.takenBlocks ?? []);
    return takenBlocks.filter(claim => claim.block.overlaps(block));
  }
}

const NONE: ReadonlySet<string> = new Set();

function add(index: Index, by: string, key: string): void {
  const keys = index.get(by);
  if (keys === undefined) index.set(by, new Set([key]));
  else keys.add(key);
}

/** @returns whether none is left */
function remove(index: Index, by: string, key: string): boolean {
  const keys = index.get(by);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(by);
  return keys === undefined || keys.size === 0;
}
