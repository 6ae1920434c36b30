/** Fixed neighbor entries that are wrong: in containers for their gateway and others, on the host for containers. */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE } from '../../netlink/route/constants.ts';
import type { Neighbor } from '../../netlink/route/objects.ts';
import { neighborLine } from '../../netlink/text/entries.ts';
import { linkNames } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Members, OverlayBridge } from '../host/members.ts';
import { type Cause, fixedBy, HERE, inContainer } from './check.ts';

export async function checkContainerNeighbors(host: HostReader): Promise<Cause[]> {
  const [members, neighbors] = await Promise.all([host.members(), host.neighbors()]);
  const inside = await Promise.all(
    members.members.map(async member => ({ member, neighbors: await member.container.inside.neighbors() })),
  );
  return [
    ...judgeHostNeighbors(members, neighbors),
    ...inside.flatMap(one => judgeInnerNeighbors(one, members)),
  ];
}

/** An entry that no ARP changes. */
const isFixed = ({ state }: Neighbor) => (state & (NUD_PERMANENT | NUD_NOARP)) !== 0;
/** One that the kernel uses without a doubt. */
const isUsed = (entry: Neighbor) => isFixed(entry) || (entry.state & NUD_REACHABLE) !== 0;

type MemberOf = Members['members'][number];

function judgeHostNeighbors({ members, bridges }: Members, neighbors: readonly Neighbor[]): Cause[] {
  const nameOf = linkNames(bridges.map(({ link }) => link));
  return members.flatMap(({ container, inner, home, addresses }) =>
    neighbors
      .filter(({ index }) => index === home?.link.index)
      .filter(({ ip }) => addresses.some(address => address.ip.equals(ip)))
      .filter(entry => isUsed(entry) && !isSame(entry.mac, inner.mac))
      .map(entry => {
        const { ip, mac } = entry;
        const link = home?.link.name ?? '';
        return fixedBy([['ip', 'neigh', 'del', `${ip}`, 'dev', link]], {
          code: 'CONTAINER_NEIGHBOR',
          severity: isFixed(entry) ? 'error' : 'warning',
          layer: 'bridge',
          reason: isFixed(entry)
            ? `${HERE} has a fixed neighbor entry for ${ip} with ${mac}, and the container ${container.name} has ${inner.mac}: packets for it are lost`
            : `${mac} answers ARP for ${ip}, which the container ${container.name} has with ${inner.mac}: packets for it go elsewhere`,
          evidence: [neighborLine(entry, nameOf), `${container.name}: ${inner.name} link/ether ${inner.mac}`],
        });
      }),
  );
}

function judgeInnerNeighbors(
  { member, neighbors }: { readonly member: MemberOf; readonly neighbors: readonly Neighbor[] },
  { members }: Members,
): Cause[] {
  const { container, inner, home } = member;
  const nameOf = linkNames(container.allLinks);
  return neighbors.flatMap(entry => {
    const { ip, mac, index } = entry;
    if (index !== inner.index || !isUsed(entry)) return [];
    const owner = home && ownerOf(ip, home, members);
    if (owner === undefined || isSame(mac, owner.mac)) return [];
    // What ARP has found is right again by itself.
    if (!isFixed(entry) && !owner.isGateway) return [];
    const fix = inContainer(container, 'ip', 'neigh', 'del', `${ip}`, 'dev', inner.name);
    return fixedBy([fix], {
      code: owner.isGateway ? 'CONTAINER_GATEWAY_MAC' : 'CONTAINER_NEIGHBOR',
      severity: isFixed(entry) ? 'error' : 'warning',
      layer: 'container',
      reason: `the container ${container.name} sends what is for ${ip} (${owner.name}) to ${mac}, and ${owner.name} has ${owner.mac}`,
      evidence: [
        `${container.name}: ${neighborLine(entry, nameOf)}`,
        `${owner.name}: link/ether ${owner.mac}`,
      ],
    });
  });
}

interface Owner {
  readonly name: string;
  readonly mac: Mac;
  readonly isGateway: boolean;
}

/** Who has an address on the bridge. */
function ownerOf(ip: Ip, home: OverlayBridge, members: Members['members']): Owner | undefined {
  const isBridges = [...home.addresses, ...home.others].some(address => address.ip.equals(ip));
  if (isBridges) {
    const { name, mac } = home.link;
    return mac && { name, mac, isGateway: true };
  }
  const holders = members.filter(
    one => one.home?.link.index === home.link.index && one.addresses.some(address => address.ip.equals(ip)),
  );
  const [holder] = holders;
  // An address that two have is another finding.
  if (holder?.inner.mac === undefined || holders.length > 1) return undefined;
  return { name: holder.container.name, mac: holder.inner.mac, isGateway: false };
}

const isSame = (a: Mac | undefined, b: Mac | undefined) => a === undefined || b === undefined || a.equals(b);
