/** A topology with everything in it read and checked: addresses, names that refer to others, and what follows from them. */
import { defined } from '../../base/defined.ts';
import { ConfigError } from '../../base/errors.ts';
import { FAMILIES, type Family, Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { NETWORK_PREFIX } from '../../console/defaults.ts';
import { Checks } from './checks.ts';
import { type LabHostPlan, planLabHost } from './host-plan.ts';
import { isLabName, LAB_NAME } from './lab-name.ts';
import { planUnderlaySegment, type SegmentPlan } from './segment-plan.ts';
import type { LabTopology, StoreKind } from './topology.ts';

/** Of the lab's store. */
export const STORE_PORT = 2379;

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

export interface PlanOptions {
  /** Of the lab; that of the topology when absent. */
  readonly name?: string;
  /** Where the topology is from, for messages. */
  readonly source?: string;
}

/** @throws ConfigError with everything that is wrong. */
export function planTopology(
  topology: LabTopology,
  { name = topology.name, source = 'topology' }: PlanOptions = {},
): LabPlan {
  const checks = new Checks();
  if (name === undefined || !isLabName(name)) checks.fail('name', name, LAB_NAME);
  const segments = Object.entries(topology.segments ?? {}).map(([segment, given]) =>
    planUnderlaySegment(segment, given, checks),
  );
  const hosts = Object.entries(topology.hosts).map(([host, given]) =>
    planLabHost(host, given, segments, checks),
  );
  if (hosts.length === 0) checks.fail('hosts', undefined, 'a lab needs at least one host');
  checkAddresses(hosts, checks);
  const { store } = topology;
  const storeHost = hosts.find(host => host.name === store?.on);
  if (store !== undefined && storeHost === undefined) {
    const known = hosts.map(host => host.name).join(', ');
    checks.fail('store.on', store.on, 'there is no host of this name', `hosts: ${known}`);
  }
  checkAgents(topology, hosts, storeHost, checks);
  if (checks.problems.length > 0 || name === undefined) throw new ConfigError(source, checks.problems);
  const [storeAddress = Ip.parse('127.0.0.1')] = valuesOf(storeHost?.address ?? {});
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
      etcdEndpoint: storeHost && urlOf(storeAddress, STORE_PORT),
    }),
  };
}

export const urlOf = (ip: Ip, port: number): string =>
  `http://${ip.family === 'ipv6' ? `[${ip}]` : ip}:${port}`;

/** Two links of one segment with one address answer for each other. */
function checkAddresses(hosts: readonly LabHostPlan[], checks: Checks): void {
  const owners = new Map<string, string>();
  for (const host of hosts) {
    for (const [index, { segment, addresses }] of host.links.entries()) {
      for (const { ip } of addresses) {
        const key = `${segment} ${ip}`;
        const owner = owners.get(key);
        if (owner === undefined) owners.set(key, host.name);
        else checks.fail(`hosts.${host.name}.links[${index}].address`, `${ip}`, `host ${owner} has it, too`);
      }
    }
  }
}

/** An agent that cannot find the others would be waited for in vain. */
function checkAgents(
  { network, store }: LabTopology,
  hosts: readonly LabHostPlan[],
  storeHost: LabHostPlan | undefined,
  checks: Checks,
): void {
  for (const { name, agent, docker, links } of hosts) {
    const path = `hosts.${name}`;
    if (agent === undefined) continue;
    const findsStore = agent.flags?.some(flag => flag.startsWith('--etcd-endpoints')) === true;
    if (!findsStore && store === undefined) {
      checks.fail(`${path}.agent`, undefined, 'an agent needs a store', 'add `store: {on: HOST}`');
    } else if (!findsStore && storeHost !== undefined && name !== storeHost.name && noAddress(storeHost)) {
      checks.fail(`${path}.agent`, undefined, `host ${storeHost.name} of the store has no address`);
    }
    if (!findsStore && network === undefined) {
      checks.fail(
        `${path}.agent`,
        undefined,
        'an agent needs a network',
        'add `network: {Network: 10.5.0.0/16, Backend: {Type: vxlan}}`',
      );
    }
    if (links.every(({ addresses }) => addresses.length === 0)) {
      checks.fail(`${path}.agent`, undefined, 'an agent needs a link with an address');
    }
    if (docker !== undefined && network?.['EnableIPv4'] === false) {
      checks.fail(
        `${path}.docker`,
        undefined,
        "Docker's default bridge always has an IPv4 address, and the network has none",
      );
    }
  }
}

const noAddress = ({ address }: LabHostPlan) => valuesOf(address).length === 0;
