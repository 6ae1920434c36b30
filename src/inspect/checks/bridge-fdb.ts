/**
 * FDB entries of the overlay's bridges: those that lead away from the container that has the MAC address, and the bridge's own,
 * without which it takes no frame for itself.
 */
import { NTF_STICKY, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import { fdbLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member, Members, OverlayBridge } from '../host/members.ts';
import { type Cause, fixedBy } from './check.ts';

export interface FdbFacts extends Members {
  readonly nameOf: NameOf;
  /** Of the bridges and their ports. */
  readonly fdb: readonly FdbEntry[];
}

export async function checkBridgeFdb(host: HostReader): Promise<Cause[]> {
  const [members, nameOf] = await Promise.all([host.members(), host.nameOf()]);
  const fdb = await Promise.all(members.bridges.map(({ link }) => host.fdb(link.index)));
  return judgeFdb({ ...members, nameOf, fdb: fdb.flat() });
}

export function judgeFdb(facts: FdbFacts): Cause[] {
  return [...facts.bridges.flatMap(bridge => judgeOwn(bridge, facts)), ...judgeMembers(facts)];
}

/**
 * The kernel makes the entry with the address, and `bridge fdb flush` takes it away: frames for the bridge are then flooded to
 * its ports (net/bridge/br_input.c, br_handle_frame_finish).
 */
function judgeOwn({ link: { name, index, up, mac } }: OverlayBridge, { fdb, nameOf }: FdbFacts): Cause[] {
  if (!up || mac === undefined) return [];
  const own = fdb.filter(entry => entry.mac.equals(mac));
  // Of another MAC address: the bridge got that one while it was looked at.
  const isLocal = (entry: FdbEntry) =>
    own.includes(entry) || (entry.index === index && entry.master === index);
  if (fdb.some(entry => isLocal(entry) && (entry.state & NUD_PERMANENT) !== 0)) return [];
  return [
    fixedBy([['bridge', 'fdb', 'replace', `${mac}`, 'dev', name, 'self', 'local']], {
      code: 'BRIDGE_FDB',
      severity: 'error',
      layer: 'bridge',
      reason: `the FDB of ${name} has no local entry for ${mac}, its own MAC address: what containers send to their gateway ends at the bridge`,
      evidence: [
        `${nameOf(index)}: link/ether ${mac}`,
        ...(own.length === 0 ? [`bridge fdb show br ${name}: no entry for ${mac}`] : []),
        ...own.map(entry => fdbLine(entry, nameOf)),
      ],
    }),
  ];
}

function judgeMembers({ members, nameOf, fdb }: FdbFacts): Cause[] {
  const byMac = Map.groupBy(fdb, ({ mac }) => `${mac}`);
  return members.flatMap(member => {
    const holders = members.filter(({ inner }) => inner.mac?.equals(member.inner.mac) === true);
    const isOfBridge = member.bridge?.mac?.equals(member.inner.mac) === true;
    // A MAC address that two have is another finding.
    if (member.bridge === undefined || isOfBridge || holders.length > 1) return [];
    return (byMac.get(`${member.inner.mac}`) ?? [])
      .filter(({ index, master }) => index !== member.outer.index && isOf(member, index, master))
      .map(entry => stolen(member, entry, nameOf));
  });
}

/** Whether an entry is of the bridge that the container is on: the same MAC address may be on another one. */
const isOf = ({ bridge }: Member, index: number, master: number | undefined) =>
  index === bridge?.index || master === bridge?.index;

function stolen({ container, inner, outer, bridge }: Member, entry: FdbEntry, nameOf: NameOf): Cause {
  const isFixed = (entry.state & (NUD_PERMANENT | NUD_NOARP)) !== 0 || (entry.flags & NTF_STICKY) !== 0;
  const place = nameOf(entry.index);
  const isBridge = entry.index === bridge?.index;
  const vlan = entry.vlan === undefined ? [] : ['vlan', `${entry.vlan}`];
  const fix = ['bridge', 'fdb', 'del', `${inner.mac}`, 'dev', place, isBridge ? 'self' : 'master', ...vlan];
  return fixedBy([fix], {
    code: 'BRIDGE_FDB',
    severity: isFixed ? 'error' : 'warning',
    layer: 'bridge',
    reason: isFixed
      ? `the FDB of ${bridge?.name} has ${inner.mac}, the MAC address of the container ${container.name}, at ${place}: frames for it go there instead of to ${outer.name}`
      : `${bridge?.name} has seen the MAC address of the container ${container.name} at ${place} last: something sends with it there, or two ports are one wire`,
    evidence: [
      fdbLine(entry, nameOf),
      `${container.name}: ${inner.name} link/ether ${inner.mac}, behind ${outer.name}`,
    ],
  });
}
