/**
 * What a lab should be, as plain data: names, addresses and the network's configuration, before anything exists.
 *
 *     fabric (a namespace)     bridge `underlay`, 192.168.65.0/24, fd00:65::/64
 *       |            |
 *     docker1      docker2     hosts: uplink eth0 = 192.168.65.3, .4, ..., fd00:65::3, ::4, ...
 *      |   |        |   |
 *      c1  c2       c1  c2     containers on bridge docker0, in the subnet that the host leased
 *
 * With one family nothing has an address of the other, but for loopback and what is link-local.
 */
import { defined } from '../base/defined.ts';
import { ConfigError, ParseError, type Problem } from '../base/errors.ts';
import { type Family, Ip } from '../base/ip.ts';
import { byFamily, mapFamilies, type PerFamily, perFamily, valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { NETWORK_PREFIX } from '../console/defaults.ts';
import { formatNetworkConfig } from '../subnet/config/format-config.ts';

export const UNDERLAY = byFamily(Prefix.parse('192.168.65.0/24'), Prefix.parse('fd00:65::/64'));
export const OVERLAY = byFamily(Prefix.parse('188.172.0.0/16'), Prefix.parse('fd00:188:172::/48'));

/** Offset of the first host's address in the underlay; 1 and 2 are left for a gateway and a visitor. */
const FIRST_HOST = 3;
export const MOST_HOSTS = 250;
export const MOST_CONTAINERS = 200;

/** Of the lab's store. */
export const STORE_PORT = 2379;

const DEFAULT_BACKEND = { Type: 'vxlan', VNI: 88, Port: 4789 };

/** How containers are made: as bare network namespaces, or by a dockerd of their host. */
export type Runtime = 'namespace' | 'docker';

/** Which addresses hosts and containers have. */
export const LAB_FAMILIES = {
  ipv4: ['ipv4'],
  ipv6: ['ipv6'],
  dual: ['ipv4', 'ipv6'],
} as const satisfies Record<string, readonly Family[]>;
export type LabFamily = keyof typeof LAB_FAMILIES;

/** Where the registry is: Debian's etcd, or the store that Tulle brings along. */
export type StoreKind = 'etcd' | 'tulle';

export interface LabRequest {
  readonly name: string;
  readonly hosts: number;
  /** On each host. */
  readonly containers: number;
  readonly runtime: Runtime;
  readonly store: StoreKind;
  /** IPv4 when absent. */
  readonly family?: LabFamily;
  /** The `Backend` object of the network's configuration; VXLAN with VNI 88 on port 4789 when absent. */
  readonly backend?: Readonly<Record<string, unknown>>;
  /** Path of a flanneld that takes the place of the agents. */
  readonly flanneld?: string;
}

export interface LabHostPlan {
  readonly name: string;
  /** On the underlay. */
  readonly address: PerFamily<Ip>;
  /** Names, unique on the host. */
  readonly containers: readonly string[];
}

export interface LabPlan {
  readonly name: string;
  readonly runtime: Runtime;
  readonly store: StoreKind;
  readonly family: LabFamily;
  readonly hosts: readonly LabHostPlan[];
  /** Value of `<prefix>/config`. */
  readonly networkConfig: string;
  readonly etcdPrefix: string;
  /** The flags of every agent; the store runs on the first host. */
  readonly etcdEndpoint: string;
  /** Path of a flanneld that takes the place of the agents. */
  readonly flanneld?: string;
}

/** @throws ConfigError with everything that is wrong with the request. */
export function planLab(request: LabRequest): LabPlan {
  const problems: Problem[] = [];
  if (!isLabName(request.name)) {
    problems.push({
      path: '--name',
      value: request.name,
      message: LAB_NAME,
    });
  }
  const count = (path: string, value: number, min: number, max: number) => {
    if (!Number.isInteger(value) || value < min || value > max) {
      problems.push({ path, value, message: `want a whole number from ${min} to ${max}` });
    }
  };
  count('--hosts', request.hosts, 1, MOST_HOSTS);
  count('--containers', request.containers, 0, MOST_CONTAINERS);
  const { family = 'ipv4' } = request;
  if (family === 'ipv6' && request.runtime === 'docker') {
    problems.push({
      path: '--family',
      value: family,
      message: "is not possible with --docker: Docker's default bridge always has an IPv4 address",
      hint: 'use `--family dual` with --docker, or omit --docker',
    });
  }
  if (problems.length > 0) throw new ConfigError('lab', problems);

  const families: readonly Family[] = LAB_FAMILIES[family];
  const ofLab = <T>(record: PerFamily<T>) =>
    perFamily(each => (families.includes(each) ? record[each] : undefined));
  const underlay = ofLab(UNDERLAY);
  const [storeAddress] = valuesOf(mapFamilies(underlay, ({ ip }) => ip.plus(FIRST_HOST)));
  const hosts = Array.from({ length: request.hosts }, (_, index) => ({
    name: `docker${index + 1}`,
    address: mapFamilies(underlay, ({ ip }) => ip.plus(FIRST_HOST + index)),
    containers: Array.from({ length: request.containers }, (_, container) => `c${container + 1}`),
  }));
  return {
    name: request.name,
    runtime: request.runtime,
    store: request.store,
    family,
    hosts,
    networkConfig: formatNetworkConfig(ofLab(OVERLAY), request.backend ?? DEFAULT_BACKEND),
    etcdPrefix: NETWORK_PREFIX,
    etcdEndpoint: `http://${storeAddress?.family === 'ipv6' ? `[${storeAddress}]` : storeAddress}:${STORE_PORT}`,
    ...defined({ flanneld: request.flanneld }),
  };
}

const LAB_NAME = 'want 1 to 32 lower-case letters, digits and hyphens, beginning with a letter or digit';

/** The name of a lab that is given none. */
export const DEFAULT_LAB = 'default';

/** How a command line names a lab: nothing for the one that is meant anyway. */
export const nameFlag = (name: string): string => (name === DEFAULT_LAB ? '' : ` --name ${name}`);

/** The name is part of paths that root removes. @throws ParseError */
export function parseLabName(text: string): string {
  if (!isLabName(text)) throw new ParseError('a name for a lab', text, LAB_NAME);
  return text;
}

export function isLabName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,31}$/.test(text);
}
