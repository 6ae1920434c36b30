/** FDB entries of a vxlan device: inner MAC -> underlay address of the host that has it. */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { NTF_SELF, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import type { Entry, EntryKind, Key } from './entry.ts';

export interface TunnelFdbEntry extends Entry {
  readonly mac: Mac;
  readonly destination?: Ip;
  readonly permanent: boolean;
  /** A VNI, UDP port or link of its own, which none of ours has, as `bridge fdb` says it. */
  readonly diversion?: string;
}

/** The kernel keeps one destination per unicast address, and a list of them for the others. */
function fdbKey({ mac, destination }: TunnelFdbEntry): Key {
  return mac.isUnicast || destination === undefined ? mac.key : `${mac} ${destination}`;
}

export function fdbEntry({ mac, destination, state, vni, port, via }: FdbEntry): TunnelFdbEntry {
  const permanent = (state & NUD_PERMANENT) !== 0;
  const entry = destination === undefined ? { mac, permanent } : { mac, permanent, destination };
  if (vni === undefined && port === undefined && via === undefined) return entry;
  const diversion = [
    vni === undefined ? '' : ` vni ${vni}`,
    port === undefined ? '' : ` port ${port}`,
    via === undefined ? '' : ` via link ${via}`,
  ];
  return { ...entry, diversion: diversion.join('') };
}

export const fdbKind: EntryKind<TunnelFdbEntry, Change> = {
  object: 'fdb',
  key: fdbKey,
  name: ({ mac }) => mac.toString(),
  same: (desired, actual) =>
    desired.permanent === actual.permanent &&
    desired.diversion === actual.diversion &&
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
  text: (device, { mac, destination, permanent, diversion = '' }) =>
    `fdb ${mac} dst ${destination ?? '(none)'}${diversion} dev ${device} self${permanent ? ' permanent' : ''}`,
};

function onLink(index: number, { mac, destination }: TunnelFdbEntry) {
  const entry = { index, mac, state: NUD_PERMANENT, flags: NTF_SELF };
  return destination === undefined ? entry : { ...entry, destination };
}
