/** FDB entries of the overlay's bridges that lead away from the container that has the MAC address. */
import { NTF_STICKY, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import { fdbLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member, Members } from '../host/members.ts';
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

function judgeFdb({ members, nameOf, fdb }: FdbFacts): Cause[] {
  const byMac = Map.groupBy(fdb, ({ mac }) => `${mac}`);
  return members.flatMap(member => {
    const holders = members.filter(({ inner }) => inner.mac?.equals(member.inner.mac) === true);
    // A MAC address that two have is another finding.
    if (member.bridge === undefined || holders.length > 1) return [];
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
