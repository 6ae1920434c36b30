/**
 * What is taken. Every key below `<prefix>/subnets` from which a flannel host reads a subnet takes it away from
 * all others, whether its value is a good lease or not: a reservation may have any value, and a wrong one does
 * not prove that nobody uses the subnet.
 */
import type { Prefix } from '../../base/prefix.ts';
import type { KeyValue, Revision } from '../../store/store.ts';
import type { NetworkConfig } from '../config/config.ts';
import { claimsOfKey } from '../lease/key.ts';
import { blocksOf, type Lease } from '../lease/lease.ts';

export interface LeaseClaim {
  /** The key as a lease has it: `10.5.34.0-24`. */
  readonly key: string;
  readonly block: Prefix;
  readonly createRevision: Revision;
}

export function claimsOf(key: string, kv: KeyValue): readonly LeaseClaim[] {
  return claimsOfKey(kv.key).map(block => ({ key, block, createRevision: kv.createRevision }));
}

/** The claims that count in this network. One on half of it is a mistake in one key, and must not stop everybody. */
export function claimsWithin(claims: readonly LeaseClaim[], config: NetworkConfig): readonly LeaseClaim[] {
  return claims.filter(({ block }) => {
    const network = config[block.family]?.network;
    return network !== undefined && block.length >= network.length + 2;
  });
}

/**
 * Another claim on a part of this lease that is older. The key guards only against a second holder of the same
 * key; a subnet of another length, or the same IPv4 block with another IPv6 one, has another key. Of two that
 * overlap the older one is right, and every host comes to the same verdict.
 */
export function olderClaim(claims: readonly LeaseClaim[], lease: Lease): LeaseClaim | undefined {
  return claims.find(
    ({ key, block, createRevision }) =>
      key !== lease.key &&
      createRevision < lease.createRevision &&
      blocksOf(lease.subnet).some(ours => ours.overlaps(block)),
  );
}
