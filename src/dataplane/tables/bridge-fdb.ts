/**
 * FDB entries of a bridge for one of its ports: MAC address -> port. They are static, so that they do not age, and sticky,
 * so that a frame from that address by another port does not move them (kernel 4.20 and later). The bridge's own entries
 * for the addresses of its ports are permanent, and not ours.
 */
import type { Mac } from '../../base/mac.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { NTF_MASTER, NTF_STICKY, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import { fdbLine } from '../../netlink/text/entries.ts';
import { type Entry, type EntryKind, THIS_DEVICE } from './entry.ts';

export interface BridgeFdbEntry extends Entry {
  readonly mac: Mac;
  /** Stated by a program, neither learned nor the address of the port itself. */
  readonly isStatic: boolean;
}

export function bridgeFdbEntry({ mac, state }: Pick<FdbEntry, 'mac' | 'state'>): BridgeFdbEntry {
  return { mac, isStatic: (state & NUD_NOARP) !== 0 && (state & NUD_PERMANENT) === 0 };
}

export const bridgeFdbKind: EntryKind<BridgeFdbEntry, Change> = {
  object: 'bridge-fdb',
  key: ({ mac }) => mac.key,
  name: ({ mac }) => mac.toString(),
  same: (desired, actual) => desired.isStatic === actual.isStatic,
  ours: ({ isStatic }) => isStatic,
  write: ({ index }, { mac }) =>
    change.replaceFdb({ index, mac, state: NUD_NOARP, flags: NTF_MASTER | NTF_STICKY }),
  impossible: ({ name, owns }) =>
    owns.bridgeFdb
      ? undefined
      : `FDB entries of a bridge are programmed for ports of our own only, and not for ${name}`,
  remove: ({ index }, { mac }) => change.deleteFdb({ index, mac, state: NUD_NOARP, flags: NTF_MASTER }),
  text: ({ mac, isStatic }, nameOf) => {
    const state = isStatic ? NUD_NOARP : 0;
    return `bridge fdb ${fdbLine({ index: THIS_DEVICE, mac, state, flags: 0, unknown: [] }, nameOf)} master`;
  },
};
