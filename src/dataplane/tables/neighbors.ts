/** Neighbor entries of a tunnel device: overlay address -> inner MAC, so that no ARP is ever asked. */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { Neighbor } from '../../netlink/route/objects.ts';
import { neighborLine } from '../../netlink/text/entries.ts';
import { type Entry, type EntryKind, THIS_DEVICE } from './entry.ts';

export interface NeighborEntry extends Entry {
  readonly ip: Ip;
  /** Absent while the kernel is resolving it. */
  readonly mac?: Mac;
  /** Added by a program, not learned. */
  readonly permanent: boolean;
}

export function neighborEntry({ ip, mac, state }: Neighbor): NeighborEntry {
  return { ip, permanent: (state & NUD_PERMANENT) !== 0, ...(mac === undefined ? {} : { mac }) };
}

export const neighborKind: EntryKind<NeighborEntry, Change> = {
  object: 'neighbor',
  key: ({ ip }) => ip.key,
  name: ({ ip }) => ip.toString(),
  same: (desired, actual) =>
    desired.permanent === actual.permanent &&
    (desired.mac === undefined ? actual.mac === undefined : desired.mac.equals(actual.mac)),
  // Learned entries come and go by themselves.
  ours: actual => actual.permanent,
  write: ({ index }, { ip, mac }) =>
    change.replaceNeighbor({ index, ip, state: NUD_PERMANENT, ...(mac === undefined ? {} : { mac }) }),
  impossible: ({ name, owns }) =>
    owns.neighbors ? undefined : `neighbors are programmed on links of our own only, and not on ${name}`,
  remove: ({ index }, { ip }) => change.deleteNeighbor({ index, ip }),
  text: ({ ip, mac, permanent }, nameOf) => {
    const entry = { index: THIS_DEVICE, ip, state: permanent ? NUD_PERMANENT : 0, flags: 0, unknown: [] };
    return `neighbor ${neighborLine(mac === undefined ? entry : { ...entry, mac }, nameOf)}`;
  },
};
