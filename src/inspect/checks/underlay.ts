/**
 * The underlay as this host has it: its link and address, and the kernel's answer for packets to and from the address of
 * each peer.
 */
import type { Status } from '../../api/status.ts';
import { ADDRESS_BITS, type Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { IFA_F_DADFAILED, RTN_LOCAL } from '../../netlink/route/constants.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import { addressLine, routeLine } from '../../netlink/text/entries.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import { addressesIn } from '../host/overlay.ts';
import type { Peer } from '../host/peers.ts';
import { type Cause, HERE, ipCommand, removing } from './check.ts';
import { forwardingOf } from './forwarding.ts';
import { faultOf, lookupText, type OverlayWay, type WayFacts, type WayFault } from './way.ts';

/** What carries packets from host to host here. */
export interface HostUnderlay {
  /** Name of its link; absent where not even that is known. */
  readonly name?: string;
  /** Absent where there is no such link. */
  readonly link?: Link;
  /** Addresses that this host should have. */
  readonly ips: readonly Ip[];
  /** UDP port of the tunnel. */
  readonly port?: number;
}

/** From the agent, or the tunnel's own device. */
export async function underlayOf(host: HostReader): Promise<HostUnderlay> {
  const [status, links, nameOf] = await Promise.all([host.status(), host.links(), host.nameOf()]);
  const devices = links.flatMap(({ name, info }) =>
    name.startsWith('flannel') && info?.kind === 'vxlan' ? [info] : [],
  );
  const lower = devices.map(({ link }) => link ?? 0).find(index => index !== 0);
  const name = status?.underlay?.link.name ?? (lower === undefined ? undefined : nameOf(lower));
  const link = links.find(each => each.name === name);
  const stated = addressesIn(Object.values(status?.underlay?.ip ?? {}));
  const ips = stated.length > 0 ? stated : devices.flatMap(({ local }) => local ?? []);
  const port = portOf(status) ?? devices.map(each => each.port).find(each => each !== undefined);
  return {
    ips,
    ...(name !== undefined && { name }),
    ...(link && { link }),
    ...(port !== undefined && { port }),
  };
}

const portOf = (status: Status | undefined) =>
  status?.backend?.devices.map(({ port }) => port).find(port => port !== undefined);

export async function checkUnderlay(host: HostReader): Promise<Cause[]> {
  const [underlay, addresses, nameOf] = await Promise.all([
    underlayOf(host),
    host.addresses(),
    host.nameOf(),
  ]);
  const own = ownCauses(underlay, addresses, nameOf);
  // Without its link or address every route over it is gone, too.
  if (own.some(({ severity }) => severity === 'error')) return own;
  return [...own, ...(await wayCauses(host, underlay))];
}

/** Link and addresses. */
function ownCauses(
  { name, link, ips }: HostUnderlay,
  addresses: readonly Address[],
  nameOf: NameOf,
): Cause[] {
  if (name === undefined) return [];
  const cut = { severity: 'error', layer: 'underlay' } as const;
  if (link === undefined) {
    return [
      {
        ...cut,
        code: 'UNDERLAY_LINK_DOWN',
        reason: `${name}, the link to the other hosts, does not exist: no packet leaves ${HERE} for them`,
        evidence: [`ip link show ${name}: Device "${name}" does not exist.`],
        remedy: `bring ${name} back, or start the agent with another --iface`,
      },
    ];
  }
  const line = linkLine(link, nameOf);
  if (!link.up) {
    return [
      {
        ...cut,
        code: 'UNDERLAY_LINK_DOWN',
        reason: `${name}, the link to the other hosts, is down: no packet leaves ${HERE} for them`,
        evidence: [line],
        remedy: `ip link set dev ${name} up`,
        fix: [['ip', 'link', 'set', 'dev', name, 'up']],
      },
    ];
  }
  if (!link.running) {
    return [
      {
        ...cut,
        code: 'NO_CARRIER',
        reason: `${name}, the link to the other hosts, has no carrier: no packet leaves ${HERE} for them`,
        evidence: [line],
        remedy: 'look at the cable, the switch port, or the other end of a virtual link',
      },
    ];
  }
  return ips.flatMap(ip => addressCause(ip, name, addresses, nameOf));
}

function addressCause(ip: Ip, name: string, addresses: readonly Address[], nameOf: NameOf): Cause[] {
  const own = addresses.find(address => address.ip.equals(ip));
  const cut = { severity: 'error', layer: 'underlay' } as const;
  if (own === undefined) {
    return [
      {
        ...cut,
        code: 'UNDERLAY_NO_ADDRESS',
        reason: `${name} does not have the address ${ip} any more, which peers send to and ${HERE} sends from`,
        evidence: [
          `ip address show to ${ip}: nothing`,
          ...addresses
            .filter(({ index, family }) => nameOf(index) === name && family === ip.family)
            .map(address => addressLine(address, nameOf)),
        ],
        remedy: `ip address add ${ip}/LENGTH dev ${name}, or restart what configures ${name}`,
      },
    ];
  }
  // Another station has it.
  if ((own.flags & IFA_F_DADFAILED) === 0) return [];
  return [
    {
      ...cut,
      code: 'DUPLICATE_UNDERLAY_ADDRESS',
      reason: `another station has the address ${ip} of ${name}, so that the kernel does not use it`,
      evidence: [addressLine(own, nameOf)],
      remedy: 'give one of the two another address',
    },
  ];
}

/** The kernel's answers for packets to and from each peer's address. */
async function wayCauses(host: HostReader, underlay: HostUnderlay): Promise<Cause[]> {
  const [rules, routes, nameOf, peers, settings, addresses] = await Promise.all([
    host.policyRules(),
    host.routes(),
    host.nameOf(),
    host.peers(),
    forwardingOf(host),
    host.addresses(),
  ]);
  const facts: WayFacts = { rules, routes, addresses, nameOf, ...settings, forwards: () => true };
  const ends = peers.flatMap(peer => peer.publicIps.map(ip => ({ peer, ip })));
  const found = await Promise.all(
    ends.map(({ peer, ip }) => faultsOfEnd(host, { peer, ip, underlay, facts, addresses })),
  );
  const groups = Map.groupBy(found.flat(), ({ cause }) => `${cause.code} ${cause.evidence[0]}`);
  return Array.from(groups.values()).flatMap(group => {
    const [first] = group;
    if (first === undefined) return [];
    const names = [...new Set(group.map(({ name }) => name))];
    return [{ ...first.cause, reason: first.reason(names.join(', ')) }];
  });
}

interface EndFacts {
  readonly peer: Peer;
  /** Its address. */
  readonly ip: Ip;
  readonly underlay: HostUnderlay;
  readonly facts: WayFacts;
  readonly addresses: readonly Address[];
}

interface EndFault {
  readonly name: string;
  readonly cause: Omit<Cause, 'reason'>;
  readonly reason: (names: string) => string;
}

async function faultsOfEnd(
  host: HostReader,
  { peer, ip, underlay, facts, addresses }: EndFacts,
): Promise<EndFault[]> {
  const source = underlay.ips.find(own => own.family === ip.family);
  const { link, port } = underlay;
  if (source === undefined || link === undefined) return [];
  const name = `${peer.name} (${ip})`;
  const udp = port === undefined ? {} : { protocol: 17, toPort: port };
  const packet = { destination: ip, source, ...udp };
  const { route, refusal } = await host.lookup(ip, { source, ...udp });
  const way = { direction: 'own', peer: name, packet, subnetLength: 0, expected: [link.name] } as const;
  if (refusal !== undefined) {
    const fault = faultOf({ ...way, answer: { refusal: `${refusal.code}` } }, facts);
    return fault === undefined ? [] : [ended(name, fault, way.packet, `${refusal.code}`)];
  }
  if (route.type === RTN_LOCAL) return [takenHere(name, ip, addresses, facts.nameOf)];
  const { route: entry = route } = await host.lookup(ip, { source, ...udp, entry: true });
  const led = facts.nameOf(route.oif ?? 0);
  const line = routeLine(entry, facts.nameOf);
  const faults: EndFault[] = [];
  if (led !== link.name || isAround(ip, route.gateway, link, addresses)) {
    const others = (await host.links()).find(each => each.name === led);
    faults.push({
      name,
      cause: {
        code: 'UNDERLAY_ROUTE',
        // By another link or router they may arrive.
        severity: isDeadEnd(others) ? 'error' : 'warning',
        layer: 'underlay',
        evidence: [line, lookupText({ packet })],
        remedy: removing(`${ipCommand(ip.family)} route delete ${line}`),
      },
      reason: names =>
        `packets for ${names} leave by ${led}${route.gateway === undefined ? '' : ` via ${route.gateway}`}, and not straight by ${link.name}`,
    });
  }
  const back = { destination: source, source: ip, input: link.name, ...udp };
  const { refusal: refused } = await host.lookup(source, { source: ip, iif: link.index, ...udp });
  if (refused === undefined) return faults;
  const answer = { refusal: `${refused.code}` };
  const fault = faultOf({ ...way, direction: 'in', packet: back, answer }, facts);
  return fault === undefined ? faults : [...faults, ended(name, fault, back, `${refused.code}`)];
}

/** A tunnel in the tunnel, a bridge of containers, or a link that is down. */
const isDeadEnd = (link: Link | undefined): boolean =>
  link === undefined || !link.up || link.name.startsWith('flannel') || link.info?.kind === 'bridge';

/** Whether a router is asked for what is on the link itself. */
function isAround(ip: Ip, gateway: Ip | undefined, link: Link, addresses: readonly Address[]): boolean {
  if (gateway === undefined) return false;
  const isNear = ({ index, ip: own, length }: Address) =>
    index === link.index &&
    own.family === ip.family &&
    length < ADDRESS_BITS[own.family] &&
    Prefix.of(own, length).contains(ip);
  return !gateway.equals(ip) && addresses.some(isNear);
}

function takenHere(name: string, ip: Ip, addresses: readonly Address[], nameOf: NameOf): EndFault {
  const own = addresses.find(address => address.ip.equals(ip));
  return {
    name,
    cause: {
      code: 'DUPLICATE_UNDERLAY_ADDRESS',
      severity: 'error',
      layer: 'underlay',
      evidence: own === undefined ? [`local ${ip}`] : [addressLine(own, nameOf)],
      remedy:
        own === undefined
          ? `ip route show table local ${ip}`
          : `ip address delete ${ip}/${own.length} dev ${nameOf(own.index)}`,
    },
    reason: names => `${HERE} has the address of ${names} itself, and keeps packets for it`,
  };
}

function ended(
  name: string,
  { code, entry, remedy, fix, reason }: WayFault,
  packet: OverlayWay['packet'],
  refusal: string,
): EndFault {
  const isOwnCode = code === 'POLICY_RULE' || code === 'STRICT_RP_FILTER';
  return {
    name,
    cause: {
      code: isOwnCode ? code : 'UNDERLAY_ROUTE',
      severity: 'error',
      layer: 'underlay',
      evidence: [entry, `${lookupText({ packet })}: ${refusal}`],
      remedy: code === 'ROUTE_MISSING' ? 'give this host a route to its peers, or a default route' : remedy,
      ...(fix && { fix }),
    },
    reason: names =>
      reason(
        packet.input === undefined ? `packets of ${HERE} for ${names}` : `packets of ${names} for ${HERE}`,
      ),
  };
}
