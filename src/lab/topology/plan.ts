/** A topology with everything in it read and checked: addresses, names that refer to others, and what follows from them. */
import { defined } from '../../base/defined.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { ADDRESS_BITS, FAMILIES, type Family, Ip } from '../../base/ip.ts';
import { byFamily, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { type InterfaceAddress, Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { NETWORK_PREFIX } from '../../console/defaults.ts';
import { isLabName, LAB_NAME } from './lab-name.ts';
import type { LabTopology, Runtime, StoreKind, TopologyAgent, TopologyHost } from './topology.ts';

/** Of the lab's store. */
export const STORE_PORT = 2379;

/** IPv6 needs 1280 (RFC 8200, section 5); no Ethernet of ours carries more than a jumbo frame. */
const MTU_BOUNDS = [576, 9216] as const;

export interface SegmentPlan {
  readonly name: string;
  readonly subnets: PerFamily<Prefix>;
  readonly mtu?: number;
}

export interface LinkPlan {
  readonly segment: string;
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  readonly mtu?: number;
}

export interface LabHostPlan {
  readonly name: string;
  /** On the underlay: of each family the first of its links. None has a host without links. */
  readonly address: PerFamily<Ip>;
  readonly links: readonly LinkPlan[];
  /** Without `to` it is the default route. */
  readonly routes: readonly { readonly to?: Prefix; readonly via: Ip }[];
  readonly forwarding: boolean;
  readonly agent?: TopologyAgent;
  readonly runtime: Runtime;
  /** Names, unique on the host. */
  readonly containers: readonly string[];
}

export interface StorePlan {
  readonly kind: StoreKind;
  /** Name of its host. */
  readonly on: string;
}

export interface LabPlan {
  readonly name: string;
  /** What the plan was made of. */
  readonly topology: LabTopology;
  readonly segments: readonly SegmentPlan[];
  readonly hosts: readonly LabHostPlan[];
  /** Families of the hosts' addresses. */
  readonly families: readonly Family[];
  readonly store?: StorePlan;
  /** Value of `<prefix>/config`. */
  readonly networkConfig?: string;
  readonly etcdPrefix: string;
  /** The flag of every agent; absent without a store. */
  readonly etcdEndpoint?: string;
}

/** @throws ConfigError with everything that is wrong. */
export function planTopology(
  topology: LabTopology,
  { name = topology.name }: { readonly name?: string },
): LabPlan {
  const problems: Problem[] = [];
  if (name === undefined || !isLabName(name)) {
    problems.push({ path: 'name', message: LAB_NAME, ...defined({ value: name }) });
  }
  const segments = Object.entries(topology.segments ?? {}).map(([segment, given]): SegmentPlan => {
    const path = `segments.${segment}`;
    checkName(path, segment, problems);
    checkMtu(`${path}.mtu`, given.mtu, problems);
    const subnets = listOf(given.subnet).flatMap(text =>
      parsed(`${path}.subnet`, text, Prefix.parse, problems),
    );
    return { name: segment, subnets: byFamily(...subnets), ...defined({ mtu: given.mtu }) };
  });
  const hosts = Object.entries(topology.hosts).map(([host, given]) =>
    planHost(host, given, segments, problems),
  );
  const { store } = topology;
  const storeHost = hosts.find(host => host.name === store?.on);
  if (store !== undefined && storeHost === undefined) {
    problems.push({ path: 'store.on', value: store.on, message: 'there is no host of this name' });
  }
  if (problems.length > 0 || name === undefined) throw new ConfigError('topology', problems);
  const [storeAddress] = valuesOf(storeHost?.address ?? {});
  return {
    name,
    topology,
    segments,
    hosts,
    families: FAMILIES.filter(family => hosts.some(({ address }) => address[family] !== undefined)),
    etcdPrefix: NETWORK_PREFIX,
    ...defined({
      store: store && { on: store.on, kind: store.kind ?? 'tulle' },
      networkConfig: topology.network && JSON.stringify(topology.network),
      etcdEndpoint: storeHost && urlOf(storeAddress ?? Ip.parse('127.0.0.1'), STORE_PORT),
    }),
  };
}

export const urlOf = (ip: Ip, port: number): string =>
  `http://${ip.family === 'ipv6' ? `[${ip}]` : ip}:${port}`;

function planHost(
  name: string,
  given: TopologyHost,
  segments: readonly SegmentPlan[],
  problems: Problem[],
): LabHostPlan {
  const path = `hosts.${name}`;
  checkName(path, name, problems);
  const links = (given.links ?? []).map((link, index): LinkPlan => {
    const at = `${path}.links[${index}]`;
    const segment = segments.find(candidate => candidate.name === link.segment);
    if (segment === undefined) {
      problems.push({
        path: `${at}.segment`,
        value: link.segment,
        message: 'there is no segment of this name',
        hint: `segments: ${segments.map(each => each.name).join(', ') || 'none'}`,
      });
    }
    checkMtu(`${at}.mtu`, link.mtu, problems);
    const addresses = listOf(link.address).flatMap(text =>
      parsed(`${at}.address`, text, address => parseLinkAddress(address, segment), problems),
    );
    return {
      segment: link.segment,
      name: link.name ?? `eth${index}`,
      addresses,
      ...defined({ mtu: link.mtu ?? segment?.mtu }),
    };
  });
  const routes = (given.routes ?? []).flatMap(({ to, via }, index) => {
    const at = `${path}.routes[${index}]`;
    const target = to === 'default' ? [undefined] : parsed(`${at}.to`, to, Prefix.parse, problems);
    const gateway = parsed(`${at}.via`, via, Ip.parse, problems);
    return target.flatMap(block => gateway.map(ip => ({ via: ip, ...defined({ to: block }) })));
  });
  const agent = given.agent === true ? {} : given.agent;
  return {
    name,
    links,
    routes,
    address: byFamily(...links.flatMap(({ addresses }) => addresses.map(({ ip }) => ip)).toReversed()),
    forwarding: given.forwarding ?? false,
    runtime: given.docker === true ? 'docker' : 'namespace',
    containers: given.containers ?? [],
    ...(agent === undefined || agent === false ? {} : { agent }),
  };
}

/** @throws ParseError */
function parseLinkAddress(text: string, segment: SegmentPlan | undefined): InterfaceAddress {
  if (text.includes('/')) return parseInterfaceAddress(text);
  const ip = Ip.parse(text);
  return { ip, length: segment?.subnets[ip.family]?.length ?? ADDRESS_BITS[ip.family] };
}

const listOf = (given: string | readonly string[] | undefined): readonly string[] =>
  given === undefined ? [] : typeof given === 'string' ? [given] : given;

/** The value in a list, or an empty list and one problem more. */
function parsed<T>(path: string, value: string, parse: (text: string) => T, problems: Problem[]): T[] {
  try {
    return [parse(value)];
  } catch (error) {
    problems.push({ path, value, message: error instanceof Error ? error.message : String(error) });
    return [];
  }
}

function checkMtu(path: string, mtu: number | undefined, problems: Problem[]): void {
  const [min, max] = MTU_BOUNDS;
  if (mtu !== undefined && (!Number.isInteger(mtu) || mtu < min || mtu > max)) {
    problems.push({ path, value: mtu, message: `want a whole number from ${min} to ${max}` });
  }
}

/** Names become names of links of the fabric, which have at most 15 bytes, and host names. */
function checkName(path: string, name: string, problems: Problem[]): void {
  if (/^[a-z0-9][a-z0-9-]{0,11}$/.test(name)) return;
  problems.push({
    path,
    message:
      'want a name of 1 to 12 lower-case letters, digits and hyphens, beginning with a letter or digit',
  });
}
