/** An L2 network that an engine wants: how it differs from one that the cluster has, and making it where there is none. */
import { defined } from '../../base/defined.ts';
import { ConfigError, formatProblem } from '../../base/errors.ts';
import { FAMILIES, FAMILY_LABELS } from '../../base/ip.ts';
import { familiesOf, mapFamilies, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { addSegment } from '../../subnet/segment/administration.ts';
import { freeSubnet } from '../../subnet/segment/free-subnet.ts';
import type { Segment } from '../../subnet/segment/segment.ts';
import type { SegmentContext } from '../../subnet/segment/segment-context.ts';
import { SegmentError } from '../../subnet/segment/segment-error.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import { AttachmentError, type ContainerNetwork, type NetworkWish } from './attachments.ts';

export interface SegmentMaking {
  readonly registry: SegmentRegistry;
  /** What this host has an address in, or a route to. */
  readonly taken: () => Promise<readonly Prefix[]>;
}

/** What an engine cannot have of the network that is there, one phrase each. */
export function differencesFrom(
  { subnets, gateways, internal, mtu }: Pick<Segment, 'subnets' | 'gateways' | 'internal' | 'mtu'>,
  wish: NetworkWish,
): readonly string[] {
  const ofSubnets = familiesOf(wish.subnets).flatMap(family => {
    const [has, wants] = [subnets[family], wish.subnets[family]];
    return wants?.equals(has)
      ? []
      : [`its ${FAMILY_LABELS[family]} subnet is ${has ?? 'none'}, not ${wants}`];
  });
  const ofGateways = familiesOf(wish.gateways).flatMap(family => {
    const [has, wants] = [gateways[family], wish.gateways[family]];
    return wants?.equals(has)
      ? []
      : [`its ${FAMILY_LABELS[family]} gateway is ${has ?? 'none'}, not ${wants}`];
  });
  return [
    ...ofSubnets,
    ...ofGateways,
    ...(wish.ipv6 && subnets.ipv6 === undefined && wish.subnets.ipv6 === undefined ? ['it has no IPv6'] : []),
    ...(wish.internal === internal ? [] : [internal ? 'it is internal' : 'it is not internal']),
    ...(wish.mtu === undefined || wish.mtu === mtu
      ? []
      : [`its MTU is ${mtu ?? 'not stated'}, not ${wish.mtu}`]),
  ];
}

/** As `differencesFrom`, of the overlay: its subnets are those of the lease, or of all hosts. */
export function overlayDifferences(network: ContainerNetwork, wish: NetworkWish): readonly string[] {
  const { subnets, networks, gateways, mtu } = network;
  const ofAll = mapFamilies(wish.subnets, (subnet, family) =>
    subnet.equals(networks[family]) ? subnets[family] : subnet,
  );
  return differencesFrom({ subnets, gateways, internal: false, mtu }, { ...wish, subnets: ofAll });
}

export function differenceError(name: string, differences: readonly string[]): AttachmentError {
  const message = `there is a network ${name} already, which differs: ${differences.join('; ')}`;
  return new AttachmentError('DIFFERENT_NETWORK', message, { hint: `see tulle network inspect ${name}` });
}

/** Nothing to do when another host was first. @throws AttachmentError INVALID_WISH with every problem, StoreError */
export async function makeSegment({ registry, taken }: SegmentMaking, wish: NetworkWish): Promise<void> {
  const { name, internal, mtu } = wish;
  const gateways = valuesOf(wish.gateways).map(String);
  const families = FAMILIES.filter(
    family => wish.subnets[family] !== undefined || (family === 'ipv6' ? wish.ipv6 : !isIpv6Alone(wish)),
  );
  const here = families.every(family => wish.subnets[family] !== undefined) ? [] : await taken();
  const subnetsIn = (context: SegmentContext) =>
    families.flatMap(family => {
      const subnet = wish.subnets[family] ?? freeSubnet({ name, family, taken: here }, context);
      return subnet === undefined ? [] : [`${subnet}`];
    });
  const isGiven = families.every(family => wish.subnets[family] !== undefined);
  const subnets = isGiven ? valuesOf(wish.subnets).map(String) : subnetsIn;
  const request = {
    name,
    internal,
    docker: false,
    ...defined({ mtu }),
    ...(gateways.length > 0 && { gateways }),
  };
  try {
    // The two kinds of subnets are two kinds of request.
    await (typeof subnets === 'function'
      ? addSegment(registry, { ...request, subnets })
      : addSegment(registry, { ...request, subnets }));
  } catch (error) {
    if (error instanceof SegmentError && error.code === 'EXISTS') return;
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(formatProblem).join('; ');
    throw new AttachmentError('INVALID_WISH', `the network ${name} cannot be: ${problems}`, { cause: error });
  }
}

/** One that was given an IPv6 subnet and nothing else has no IPv4. */
const isIpv6Alone = ({ subnets }: NetworkWish) => subnets.ipv6 !== undefined && subnets.ipv4 === undefined;
