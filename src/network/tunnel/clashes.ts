/**
 * What a new tunnel must not share with anything on this host. Asked once, when it is added: later the data plane reports
 * what another program takes from it.
 */
import { defined } from '../../base/defined.ts';
import type { Problem } from '../../base/errors.ts';
import { Prefix } from '../../base/prefix.ts';
import { RT_TABLE_MAIN, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link, Route } from '../../netlink/route/objects.ts';
import type { ClashFacts } from './facts.ts';
import type { TunnelSpec } from './spec.ts';

/** A VNI that a network of this host has, whether its device is there or not. */
export interface ReservedVni {
  readonly vni: number;
  /** `the overlay network`. */
  readonly owner: string;
}

type Clash = (path: keyof TunnelSpec, value: unknown, message: string, hint?: string) => void;

/** What is promised to others, whether the kernel has it just now or not. */
export interface Promised {
  readonly vnis: readonly ReservedVni[];
  /** The other tunnels of this host. */
  readonly tunnels: readonly TunnelSpec[];
}

/** Everything of this host that is in the way of a new tunnel; empty when nothing is. */
export function clashesOf(spec: TunnelSpec, facts: ClashFacts, { vnis, tunnels }: Promised): Problem[] {
  const problems: Problem[] = [];
  const clash: Clash = (path, value, message, hint) =>
    void problems.push({ path, value, message, ...defined({ hint }) });

  if (facts.links.some(({ name, altNames }) => name === spec.name || altNames?.includes(spec.name))) {
    clash(
      'name',
      spec.name,
      'this host has a link of this name, which its agent has not made',
      'choose another name, or delete the link',
    );
  }
  clashesOfVni(spec, facts, vnis, clash);
  clashesOfPort(spec, facts, clash);
  clashesOfAddresses(spec, facts, clash);
  // One that is not in the kernel is seen by nothing of the above.
  const isThere = ({ name }: TunnelSpec) => facts.links.some(link => link.name === name);
  for (const other of tunnels.filter(tunnel => !isThere(tunnel))) clashesWith(other, spec, clash);
  return problems;
}

/** Devices of the overlay (src/backend/vxlan.ts) and of L2 networks. */
const NETWORK_DEVICE = /^(flannel(-v6)?\.\d+|tv-)/;

type VxlanLink = Link & { readonly info: VxlanInfo };
const isVxlan = (link: Link): link is VxlanLink => link.info?.kind === 'vxlan';

function clashesOfVni(
  spec: TunnelSpec,
  { links }: ClashFacts,
  reserved: readonly ReservedVni[],
  clash: Clash,
): void {
  const { vni, port } = spec;
  const owner = reserved.find(other => other.vni === vni)?.owner;
  const device = links.find(link => isVxlan(link) && link.info.id === vni && NETWORK_DEVICE.test(link.name));
  if (owner !== undefined || device !== undefined) {
    const whose = owner ?? `the network of ${device?.name}`;
    clash(
      'vni',
      vni,
      `is that of ${whose}: one of its packets and one of the tunnel would look the same`,
      'choose another VNI, on both hosts',
    );
    return;
  }
  const same = links
    .filter(isVxlan)
    .find(({ info }) => info.id === vni && info.port === port && familyOf(info) === spec.remote.family);
  if (same !== undefined) {
    clash(
      'vni',
      vni,
      `the link ${same.name} has it on UDP port ${port} already`,
      'choose another VNI or port, on both hosts',
    );
  }
}

/** Of the packets that a vxlan link sends and receives (VXLAN_F_IPV6): IPv4 unless one of its ends says otherwise. */
const familyOf = ({ group, local }: VxlanInfo) => group?.family ?? local?.family ?? 'ipv4';

/** Links of one port share a socket, which is of one form for all of them (vxlan_find_sock). */
function clashesOfPort({ port, remote }: TunnelSpec, { links, ports }: ClashFacts, clash: Clash): void {
  const sharers = links.filter(isVxlan).filter(({ info, up }) => up && info.port === port);
  const other = sharers.find(
    ({ info }) => info.collectMetadata === true || info.gbp === true || info.gpe === true,
  );
  if (other !== undefined) {
    clash(
      'port',
      port,
      `the link ${other.name} has this UDP port in another form (external, gbp or gpe)`,
      'choose another port, on both hosts',
    );
    return;
  }
  const isInTheWay = ({ address }: (typeof ports)[number]) =>
    address.family === remote.family || (address.family === 'ipv6' && address.isUnspecified);
  const bound = ports.find(socket => socket.port === port && isInTheWay(socket));
  if (bound !== undefined && !sharers.some(({ info }) => familyOf(info) === bound.address.family)) {
    clash(
      'port',
      port,
      `a program of this host has this UDP port, at ${bound.address}`,
      `\`ss -ulnp 'sport = :${port}'\` shows it; stop it, or choose another port on both hosts`,
    );
  }
}

function clashesOfAddresses(spec: TunnelSpec, { links, addresses, routes }: ClashFacts, clash: Clash): void {
  const nameOf = (index: number | undefined) =>
    links.find(link => link.index === index)?.name ?? `link ${index}`;
  for (const { ip, length } of spec.addresses) {
    const text = `${ip}/${length}`;
    const taken = addresses.find(address => address.ip.equals(ip));
    if (taken !== undefined) {
      clash('addresses', text, `${nameOf(taken.index)} has this address already`);
      continue;
    }
    const block = Prefix.of(ip, length);
    const route = routes.find(other => takesFrom(other, block));
    if (route !== undefined) {
      clash(
        'addresses',
        text,
        `${route.destination} is reached over ${nameOf(route.oif)} already`,
        'choose a block that no other link of this host leads to',
      );
    }
  }
}

/** Whether both lead to the same hosts: it is the same block, a part of it, or a wire that the block is a part of. */
function takesFrom({ destination, type, table, gateway, nexthopId }: Route, block: Prefix): boolean {
  if (destination === undefined || type !== RTN_UNICAST || table !== RT_TABLE_MAIN) return false;
  // Every link has these.
  if (destination.ip.isLinkLocal || destination.ip.isMulticast) return false;
  if (block.contains(destination)) return true;
  return destination.contains(block) && gateway === undefined && nexthopId === undefined;
}

/** With a tunnel that is kept and waits for something. */
function clashesWith(other: TunnelSpec, spec: TunnelSpec, clash: Clash): void {
  const { name, vni, port, remote } = other;
  if (spec.vni === vni && spec.port === port && spec.remote.family === remote.family) {
    clash(
      'vni',
      vni,
      `the tunnel ${name} has it on UDP port ${port} already`,
      'choose another VNI or port, on both hosts',
    );
  }
  const blocks = other.addresses.map(({ ip, length }) => Prefix.of(ip, length));
  for (const { ip, length } of spec.addresses) {
    if (!blocks.some(block => block.overlaps(Prefix.of(ip, length)))) continue;
    clash('addresses', `${ip}/${length}`, `the tunnel ${name} has addresses of this block already`);
  }
}
