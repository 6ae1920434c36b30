/**
 * The blocks of addresses that are taken. Every key below `<prefix>/subnets` from which a flannel host reads a subnet
 * takes it away from all others, whether its value is a valid lease or not: a reservation may have any value, and a
 * wrong value does not prove that the subnet is unused.
 */
import type { Prefix } from '../../base/prefix.ts';
import type { KeyValue, Revision } from '../../store/store.ts';
import type { NetworkConfig } from '../config/config.ts';
import { takenBlocksOfKey } from './key.ts';
import { blocksOf, type Lease } from './lease.ts';

export interface TakenBlock {
  /** The key as a lease has it: `10.5.34.0-24`. */
  readonly key: string;
  readonly block: Prefix;
  readonly createRevision: Revision;
}

export function takenBlocksOf(key: string, kv: KeyValue): readonly TakenBlock[] {
  return takenBlocksOfKey(kv.key).map(block => ({ key, block, createRevision: kv.createRevision }));
}

/** Those that count in this network. One of half of it is a mistake in one key, and must not stop every host. */
export function takenWithin(
  takenBlocks: readonly TakenBlock[],
  config: NetworkConfig,
): readonly TakenBlock[] {
  return takenBlocks.filter(({ block }) => {
    const network = config[block.family]?.network;
    return network !== undefined && block.length >= network.length + 2;
  });
}

/**
 * An older key that takes a part of this lease. The transaction guards only against a second holder of the same key; a
 * subnet of another length, or the same IPv4 block with another IPv6 one, has another key. Of two that overlap the
 * older one is right, which every host decides alike.
 */
export function olderOverlap(takenBlocks: readonly TakenBlock[], lease: Lease): TakenBlock | undefined {
  return takenBlocks.find(
    ({ key, block, createRevision }) =>
      key !== lease.key &&
      createRevision < lease.createRevision &&
      blocksOf(lease.subnet).some(ours => ours.overlaps(block)),
  );
}
