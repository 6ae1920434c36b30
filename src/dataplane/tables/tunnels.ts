/**
 * Entries of a program that forwards packets in user space: peer subnet -> UDP address. It holds a tun link open, and
 * its table is reached through a store that who runs it hands to the data plane (store.ts).
 */
import type { Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import { type Entry, type EntryKind, THIS_DEVICE } from './entry.ts';
import type { StoreChange } from './store.ts';

export interface TunnelEntry extends Entry {
  readonly subnet: Prefix;
  readonly destination: Ip;
  /** UDP port. */
  readonly port: number;
}

/** @param isStored whether there is a store for such entries. */
export const tunnelKind = (isStored: boolean): EntryKind<TunnelEntry, StoreChange<TunnelEntry>> => ({
  object: 'tunnel',
  key: ({ subnet }) => subnet.key,
  name: ({ subnet }) => subnet.toString(),
  same: (desired, actual) => desired.port === actual.port && desired.destination.equals(actual.destination),
  ours: () => true,
  impossible: ({ name }) =>
    isStored ? undefined : `no program that forwards packets in user space runs for ${name}`,
  write: ({ name, index }, entry, former) => ({ link: { name, index }, entry, former }),
  remove: ({ name, index }, former) => ({ link: { name, index }, entry: undefined, former }),
  text: ({ subnet, destination, port }, nameOf) =>
    `tunnel ${subnet} to ${destination} port ${port} dev ${nameOf(THIS_DEVICE)}`,
});
