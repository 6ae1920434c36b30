/** FDB entries of a vxlan device: inner MAC -> underlay address of the host that has it. */
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { NTF_SELF, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import { fdbLine } from '../../netlink/text/entries.ts';
import { type Entry, type EntryKind, type Key, THIS_DEVICE } from './entry.ts';

export interface TunnelFdbEntry extends Entry {
  readonly mac: Mac;
  readonly destination?: Ip;
  readonly permanent: boolean;
  /** A VNI, UDP port or link of its own, which none of ours has. */
  readonly diversion?: Pick<FdbEntry, 'vni' | 'port' | 'via'>;
}

/** The kernel keeps one destination per unicast address, and a list of them for the others. */
function fdbKey({ mac, destination }: TunnelFdbEntry): Key {
  return mac.isUnicast || destination === undefined ? mac.key : `${mac} ${destination}`;
}

export function fdbEntry({ mac, destination, state, vni, port, via }: FdbEntry): TunnelFdbEntry {
  const permanent = (state & NUD_PERMANENT) !== 0;
  const entry = destination === undefined ? { mac, permanent } : { mac, permanent, destination };
  if (vni === undefined && port === undefined && via === undefined) return entry;
  return { ...entry, diversion: defined({ vni, port, via }) };
}

export const fdbKind: EntryKind<TunnelFdbEntry, Change> = {
  object: 'fdb',
  key: fdbKey,
  name: ({ mac }) => mac.toString(),
  same: (desired, actual) =>
    desired.permanent === actual.permanent &&
    (desired.diversion === undefined) === (actual.diversion === undefined) &&
    (desired.destination === undefined
      ? actual.destination === undefined
      : desired.destination.equals(actual.destination)),
  // Learned entries come and go by themselves.
  ours: actual => actual.permanent,
  // What is not one station's may have several destinations.
  write: ({ index }, entry) =>
    entry.mac.isUnicast ? change.replaceFdb(onLink(index, entry)) : change.appendFdb(onLink(index, entry)),
  impossible: ({ name, owns }) =>
    owns.fdb ? undefined : `FDB entries are programmed on vxlan links of our own only, and not on ${name}`,
  remove: ({ index }, entry) => change.deleteFdb(onLink(index, entry)),
  text: (entry, nameOf) => {
    const state = entry.permanent ? NUD_PERMANENT : 0;
    const found = { ...onLink(THIS_DEVICE, entry), ...entry.diversion, state, unknown: [] };
    return `fdb ${fdbLine(found, nameOf)}`;
  },
};

function onLink(index: number, { mac, destination }: TunnelFdbEntry) {
  const entry = { index, mac, state: NUD_PERMANENT, flags: NTF_SELF };
  return destination === undefined ? entry : { ...entry, destination };
}
