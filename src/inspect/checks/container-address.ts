/** The addresses of containers on the overlay: none, of another subnet, twice. */
import { Prefix } from '../../base/prefix.ts';
import { IFA_F_DADFAILED } from '../../netlink/route/constants.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import { addressLine } from '../../netlink/text/entries.ts';
import { linkNames } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import type { HostOverlay } from '../host/overlay.ts';
import { type Cause, HERE, ipCommand, removing } from './check.ts';
import { judgeFamilies } from './container-family.ts';
import { stillUnfinished } from './settled.ts';

export interface AddressFacts {
  readonly overlay: HostOverlay;
  readonly members: readonly Member[];
  /** Of the host itself. */
  readonly hostAddresses: readonly Address[];
  readonly hostLinks: readonly Link[];
}

export async function checkContainerAddresses(host: HostReader): Promise<Cause[]> {
  const [overlay, { members }, hostAddresses, hostLinks] = await Promise.all([
    host.overlay(),
    host.members(),
    host.addresses(),
    host.links(),
  ]);
  if (overlay === undefined) return [];
  const facts = { overlay, members, hostAddresses, hostLinks };
  const unfinished = await stillUnfinished(members);
  const settled = members.filter(member => member.addresses.length > 0 || unfinished.has(member));
  return [
    ...settled.flatMap(member => judgeAddresses(member, overlay)),
    ...(await judgeFamilies(members, overlay)),
    ...judgeDuplicates(facts),
  ];
}

function judgeAddresses(member: Member, overlay: HostOverlay): Cause[] {
  const { container, inner, home, addresses } = member;
  const { name } = container;
  const own = overlay.subnets.map(String).join(' and ');
  if (!inner.up) return [];
  const families = overlay.subnets.map(({ family }) => family);
  if (!addresses.some(({ family }) => families.includes(family))) {
    return [
      {
        code: 'CONTAINER_NO_ADDRESS',
        severity: 'error',
        layer: 'container',
        reason: `${inner.name} of the container ${name} is on the overlay and has no address: nothing reaches it`,
        evidence: [`${name}: ip addr show ${inner.name}: no address`],
        remedy: `restart the container, or give it a free address of ${own}`,
      },
    ];
  }
  const wrong = addresses.filter(address => isForeign(address, member, overlay));
  return wrong.map(address => ({
    code: 'CONTAINER_FOREIGN_ADDRESS',
    severity: 'error' as const,
    layer: 'container' as const,
    reason: `the container ${name} has the address ${address.ip}, which is not in ${own}, the subnet of ${HERE}: packets to it go elsewhere`,
    evidence: [
      `${name}: ${addressLine(address, linkNames(container.allLinks))}`,
      ...(home?.addresses.map(({ ip, length }) => `${home.link.name}: ${ip}/${length}`) ?? []),
    ],
    remedy: `give ${name} an address of ${own}: restart it, or with Docker the daemon after the change of its subnet`,
  }));
}

/** An address that belongs to neither this host's part of the overlay nor another network of the same bridge. */
function isForeign(address: Address, { home, addresses }: Member, overlay: HostOverlay): boolean {
  const { ip, family } = address;
  const blocks = overlay.subnets.filter(block => block.family === family);
  if (blocks.length === 0 || blocks.some(block => block.contains(ip))) return false;
  if (overlay.networks.some(network => network.contains(ip))) return true;
  const isShared =
    home?.others.some(other => other.family === family && blockOf(other).contains(ip)) === true;
  const hasOwn = addresses.some(one => blocks.some(block => block.contains(one.ip)));
  return !isShared && !hasOwn;
}

const blockOf = ({ ip, length }: Address) => Prefix.of(ip, length);

/** Each address and each MAC address that two have on this host. */
function judgeDuplicates({ members, hostAddresses, hostLinks, overlay }: AddressFacts): Cause[] {
  const isOn = ({ ip }: Address) => overlay.networks.some(network => network.contains(ip));
  const nameOf = linkNames(hostLinks);
  const holders = [
    // Devices of the overlay share one.
    ...hostAddresses
      .filter(isOn)
      .filter(({ ip }, at, all) => all.findIndex(other => other.ip.equals(ip)) === at)
      .map(({ ip, index }) => ({ key: `${ip}`, holder: `${nameOf(index)} of ${HERE}` })),
    ...members.flatMap(({ addresses, container }) =>
      addresses.filter(isOn).map(({ ip }) => ({ key: `${ip}`, holder: `the container ${container.name}` })),
    ),
  ];
  // The gateway is the host's own; with any other address of a container it has one too many.
  const removalOf = (ip: string) => {
    const isGateway = overlay.gateways.some(gateway => `${gateway.ip}` === ip);
    const taken = isGateway ? undefined : hostAddresses.find(one => `${one.ip}` === ip);
    if (taken === undefined) return undefined;
    const { family, index, length } = taken;
    return removing(`${ipCommand(family)} address delete ${ip}/${length} dev ${nameOf(index)}`);
  };
  const failed = members.flatMap(({ addresses, container, inner }) =>
    addresses
      .filter(({ flags }) => (flags & IFA_F_DADFAILED) !== 0)
      .map(({ ip }) => ({ ip, container, inner })),
  );
  return [
    ...twice(holders).map(
      ([ip, names]): Cause => ({
        code: 'DUPLICATE_ADDRESS',
        severity: 'error',
        layer: 'container',
        reason: `${names.join(' and ')} have the same address ${ip}: packets for one of them reach the other`,
        evidence: names.map(name => `${name}: ${ip}`),
        remedy: removalOf(ip) ?? 'give one of them another address: restart that container',
      }),
    ),
    ...failed.map(
      ({ ip, container, inner }): Cause => ({
        code: 'DUPLICATE_ADDRESS',
        severity: 'error',
        layer: 'container',
        reason: `the container ${container.name} may not use its address ${ip}: another one on its link has it`,
        evidence: [`${container.name}: ${inner.name} ${ip} dadfailed`],
        remedy: 'give one of them another address: restart that container',
      }),
    ),
    ...judgeMacs(members, hostLinks),
  ];
}

/** Of one bridge: its own, those of its ports, those behind them. */
function judgeMacs(members: readonly Member[], hostLinks: readonly Link[]): Cause[] {
  const bridges = [...new Set(members.flatMap(({ bridge }) => bridge ?? []))];
  return bridges.flatMap(bridge => {
    const holders = [
      { key: `${bridge.mac}`, holder: bridge.name },
      // The bridge has the address of one of its ports unless it was given one.
      ...hostLinks
        .filter(({ master, mac }) => master === bridge.index && mac?.equals(bridge.mac) !== true)
        .map(({ name, mac }) => ({ key: `${mac}`, holder: name })),
      ...members
        .filter(member => member.bridge?.index === bridge.index)
        .map(({ inner, container }) => ({ key: `${inner.mac}`, holder: `the container ${container.name}` })),
    ];
    return twice(holders).map(
      ([mac, names]): Cause => ({
        code: 'DUPLICATE_MAC',
        severity: 'error',
        layer: 'bridge',
        reason: `${names.join(' and ')} have the same MAC address ${mac} on ${bridge.name}: frames for one of them reach the other`,
        evidence: names.map(name => `${name}: link/ether ${mac}`),
        remedy: 'give one of them another MAC address: restart that container',
      }),
    );
  });
}

/** What more than one has, with all that have it. */
function twice(
  holders: readonly { readonly key: string; readonly holder: string }[],
): (readonly [key: string, holders: readonly string[]])[] {
  return Array.from(
    Map.groupBy(holders, ({ key }) => key),
    ([key, list]) => [key, [...new Set(list.map(({ holder }) => holder))]] as const,
  ).filter(([, names]) => names.length > 1);
}
