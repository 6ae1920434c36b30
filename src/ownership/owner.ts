/**
 * Whose a thing on this host is. Names, comments and chains are shared by all programs that do what flannel does, so
 * they are no evidence; what a thing says of addresses is. docs/decisions/0009-ownership.md has the reasons.
 *
 *     ours       it names a block of one of our networks
 *     another's  it names blocks, and none of them is of our networks
 *     none       it names none: it may be used, and is never removed for its own sake
 *
 * Stronger than this evidence is a record of our making: the MAC address this host gave to a device, our protocol
 * number on an entry of such a device, a file in our state directory. With such a record this rule is not asked.
 */
import type { Prefix } from '../base/prefix.ts';

export type Owner = 'ours' | 'another' | 'none';

/**
 * @param blocks what the thing names.
 * @param networks ours: the one in use, and those that this host is on record to have had.
 */
export function ownerOf(blocks: readonly Prefix[], networks: readonly Prefix[]): Owner {
  if (blocks.length === 0) return 'none';
  return blocks.some(block => networks.some(network => network.contains(block))) ? 'ours' : 'another';
}

/**
 * The same of a thing that names whole networks, and is of no other that only contains or is part of one.
 * @param named what the thing names.
 */
export function ownerByNetwork(named: readonly Prefix[], networks: readonly Prefix[]): Owner {
  if (named.length === 0) return 'none';
  return named.some(block => networks.some(network => network.equals(block))) ? 'ours' : 'another';
}
