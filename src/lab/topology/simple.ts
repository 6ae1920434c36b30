/**
 * The labs of `tulle lab up`: so many equal hosts on one segment, as a topology.
 *
 *     segment `underlay`       192.168.65.0/24, fd00:65::/64
 *       |            |
 *     docker1      docker2     hosts: uplink eth0 = 192.168.65.3, .4, ..., fd00:65::3, ::4, ...
 *      |   |        |   |
 *      c1  c2       c1  c2     containers on bridge docker0, in the subnet that the host leased
 *
 * With one family nothing has an address of the other, but for loopback and what is link-local.
 */
import { defined } from '../../base/defined.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { FAMILY_LABELS, type Family } from '../../base/ip.ts';
import { byFamily, mapFamilies, type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { formatNetworkConfig } from '../../subnet/config/format-config.ts';
import { isLabName, LAB_NAME } from './lab-name.ts';
import { type LabPlan, planTopology } from './plan.ts';
import type { LabTopology, Runtime, StoreKind, TopologyHost } from './topology.ts';

export const UNDERLAY = byFamily(Prefix.parse('192.168.65.0/24'), Prefix.parse('fd00:65::/64'));
export const OVERLAY = byFamily(Prefix.parse('188.172.0.0/16'), Prefix.parse('fd00:188:172::/48'));

/** Offset of the first host's address in the underlay; 1 and 2 are left for a gateway and a visitor. */
const FIRST_HOST = 3;
export const MOST_HOSTS = 250;
export const MOST_CONTAINERS = 200;

const DEFAULT_BACKEND = { Type: 'vxlan', VNI: 88, Port: 4789 };
const SEGMENT = 'underlay';

/** Which addresses hosts and containers have. */
export const LAB_FAMILIES = {
  ipv4: ['ipv4'],
  ipv6: ['ipv6'],
  dual: ['ipv4', 'ipv6'],
} as const satisfies Record<string, readonly Family[]>;
export type LabFamily = keyof typeof LAB_FAMILIES;

export interface LabRequest {
  readonly name: string;
  readonly hosts: number;
  /** On each host. */
  readonly containers: number;
  readonly runtime: Runtime;
  readonly store: StoreKind;
  /** IPv4 when absent. */
  readonly family?: LabFamily;
  /** Blocks of the overlay, or its whole configuration; `OVERLAY` when absent. */
  readonly network?: PerFamily<Prefix> | { readonly config: Readonly<Record<string, unknown>> };
  /** The `Backend` object of the network's configuration; VXLAN with VNI 88 on port 4789 when absent. */
  readonly backend?: Readonly<Record<string, unknown>>;
  /** Path of a flanneld that takes the place of the agents. */
  readonly flanneld?: string;
  /** Hosts without agents, store and containers. */
  readonly bare?: boolean;
  /** Docker's networks are made with the plugin of the agent. */
  readonly plugin?: boolean;
}

/** @throws ConfigError with everything that is wrong with the request. */
export function planLab(request: LabRequest): LabPlan {
  const problems = problemsOf(request);
  if (problems.length > 0) throw new ConfigError('lab', problems);
  return planTopology(simpleTopology(request), { name: request.name });
}

function problemsOf(request: LabRequest): Problem[] {
  const problems: Problem[] = [];
  if (!isLabName(request.name)) problems.push({ path: '--name', value: request.name, message: LAB_NAME });
  const count = (path: string, value: number, min: number, max: number) => {
    if (!Number.isInteger(value) || value < min || value > max) {
      problems.push({ path, value, message: `want a whole number from ${min} to ${max}` });
    }
  };
  count('--hosts', request.hosts, 1, MOST_HOSTS);
  count('--containers', request.containers, 0, MOST_CONTAINERS);
  if (request.family === 'ipv6' && request.runtime === 'docker') {
    problems.push({
      path: '--family',
      value: request.family,
      message: "is not possible with --docker: Docker's default bridge always has an IPv4 address",
      hint: 'use `--family dual` with --docker, or omit --docker',
    });
  }
  if (request.plugin === true && request.runtime !== 'docker') {
    problems.push({ path: '--plugin', message: 'is for dockerds', hint: 'add --docker' });
  }
  const { network = {}, family = 'ipv4' } = request;
  if (!('config' in network)) {
    for (const given of valuesOf(network)) {
      if (LAB_FAMILIES[family].some(each => each === given.family)) continue;
      problems.push({
        path: '--network',
        value: given,
        message: `the lab has no ${FAMILY_LABELS[given.family]}`,
        hint: 'choose it with --family',
      });
    }
  }
  return problems;
}

function simpleTopology(request: LabRequest): LabTopology {
  const { family = 'ipv4', bare = false, plugin = false, flanneld } = request;
  const families: readonly Family[] = LAB_FAMILIES[family];
  const ofLab = <T>(record: PerFamily<T>) =>
    perFamily(each => (families.includes(each) ? record[each] : undefined));
  const underlay = ofLab(UNDERLAY);
  const addressOf = (index: number) =>
    valuesOf(mapFamilies(underlay, ({ ip }) => ip.plus(FIRST_HOST + index).toString()));
  const members: TopologyHost = bare
    ? { docker: request.runtime === 'docker' }
    : {
        // As on every host that runs containers; Docker sets it, too.
        forwarding: true,
        agent: defined({ flanneld }),
        docker: plugin ? { plugin } : request.runtime === 'docker',
        containers: Array.from({ length: request.containers }, (_, index) => `c${index + 1}`),
      };
  const hosts = Array.from({ length: request.hosts }, (_, index): [string, TopologyHost] => [
    `docker${index + 1}`,
    { links: [{ segment: SEGMENT, address: addressOf(index) }], ...members },
  ]);
  return {
    segments: { [SEGMENT]: { subnet: valuesOf(underlay).map(String) } },
    hosts: Object.fromEntries(hosts),
    ...(bare
      ? {}
      : {
          store: { on: 'docker1', kind: request.store },
          network: networkOf(request, ofLab(OVERLAY)),
        }),
  };
}

function networkOf(
  { network = {}, backend = DEFAULT_BACKEND }: LabRequest,
  overlay: PerFamily<Prefix>,
): Readonly<Record<string, unknown>> {
  if ('config' in network) return network.config;
  const blocks = mapFamilies(overlay, (block, family) => network[family] ?? block);
  return JSON.parse(formatNetworkConfig(blocks, backend)) as Record<string, unknown>;
}
