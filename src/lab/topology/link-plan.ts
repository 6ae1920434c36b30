/** The links and routes of a host, read and checked. */

import { defined } from '../../base/defined.ts';
import { ADDRESS_BITS, FAMILY_LABELS, Ip } from '../../base/ip.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { valuesOf } from '../../base/per-family.ts';
import { type InterfaceAddress, Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { type Checks, listOf } from './checks.ts';
import type { SegmentPlan } from './segment-plan.ts';
import type { TopologyHost, TopologyLink } from './topology.ts';

/** What dev_valid_name of Linux (net/core/dev.c) allows, without what a command line would trip over. */
const LINK_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;

/** Of a link that says nothing else. */
const ETHERNET_MTU = 1500;

export interface LinkPlan {
  readonly segment: string;
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  readonly mtu?: number;
  /** Of its segment: milliseconds, one way. */
  readonly delay?: number;
}

/** Without `to` it is the default route. */
export interface RoutePlan {
  readonly to?: Prefix;
  readonly via: Ip;
}

export function planLink(
  path: string,
  index: number,
  given: TopologyLink,
  segments: readonly SegmentPlan[],
  checks: Checks,
): LinkPlan {
  const { name = `eth${index}`, segment } = given;
  const wire = segments.find(candidate => candidate.name === segment);
  if (wire === undefined) {
    const known = segments.map(each => each.name).join(', ');
    checks.fail(
      `${path}.segment`,
      segment,
      'there is no segment of this name',
      `segments: ${known || 'none'}`,
    );
  }
  if (!LINK_NAME.test(name)) {
    checks.fail(`${path}.name`, name, 'is no name of a link: want 1 to 15 letters, digits, `-`, `_` and `.`');
  }
  checks.mtu(`${path}.mtu`, given.mtu, wire?.mtu ?? ETHERNET_MTU);
  const mtu = given.mtu ?? wire?.mtu;
  const addresses = listOf(given.address).flatMap(text => {
    const address = checks.read(`${path}.address`, text, each => parseLinkAddress(each, wire));
    if (address === undefined) return [];
    checkAddress(`${path}.address`, text, address, wire, checks);
    if (address.ip.family === 'ipv6' && mtu !== undefined && mtu < LEAST_MTU.ipv6) {
      checks.fail(`${path}.mtu`, mtu, `is less than IPv6 needs, ${LEAST_MTU.ipv6}`);
    }
    return [address];
  });
  return { segment, name, addresses, ...defined({ mtu, delay: wire?.delay }) };
}

/** @throws ParseError */
function parseLinkAddress(text: string, segment: SegmentPlan | undefined): InterfaceAddress {
  if (text.includes('/')) return parseInterfaceAddress(text);
  const ip = Ip.parse(text);
  return { ip, length: segment?.subnets[ip.family]?.length ?? ADDRESS_BITS[ip.family] };
}

function checkAddress(
  path: string,
  text: string,
  { ip }: InterfaceAddress,
  segment: SegmentPlan | undefined,
  checks: Checks,
): void {
  if (ip.isUnspecified || ip.isMulticast || ip.isLoopback) {
    checks.fail(path, text, 'is not an address that a link can have');
    return;
  }
  if (segment === undefined || valuesOf(segment.subnets).length === 0) return;
  const subnet = segment.subnets[ip.family];
  if (subnet === undefined) {
    checks.fail(path, text, `segment ${segment.name} has no ${FAMILY_LABELS[ip.family]} subnet`);
  } else if (!subnet.contains(ip)) {
    checks.fail(path, text, `is not in ${subnet}, the subnet of segment ${segment.name}`);
  }
}

export function planRoutes(
  path: string,
  given: NonNullable<TopologyHost['routes']>,
  links: readonly LinkPlan[],
  checks: Checks,
): RoutePlan[] {
  return given.flatMap((route, index) => {
    const at = `${path}[${index}]`;
    const isDefault = route.to === 'default';
    const to = isDefault ? undefined : checks.read(`${at}.to`, route.to, text => Prefix.parse(text));
    const via = checks.read(`${at}.via`, route.via, text => Ip.parse(text));
    if (via === undefined || (to === undefined && !isDefault)) return [];
    if (to !== undefined && to.family !== via.family) {
      checks.fail(`${at}.via`, route.via, `is not of the family of ${to}`);
    } else if (!links.some(link => link.addresses.some(({ ip, length }) => isBeside(via, ip, length)))) {
      checks.fail(
        `${at}.via`,
        route.via,
        'is not in the subnet of any link of this host',
        'a gateway is one hop away',
      );
    }
    return [{ via, ...defined({ to }) }];
  });
}

const isBeside = (other: Ip, ip: Ip, length: number) =>
  other.family === ip.family && !other.equals(ip) && Prefix.of(ip, length).contains(other);
