/**
 * What a lab should be, as plain data: names, addresses and the network's configuration, before anything exists.
 *
 *     fabric (a namespace)     bridge `underlay`, 192.168.65.0/24
 *       |            |
 *     docker1      docker2     hosts: uplink eth0 = 192.168.65.3, .4, ...
 *      |   |        |   |
 *      c1  c2       c1  c2     containers on bridge docker0, in the subnet that the host leased
 */
import { ConfigError, ParseError, type Problem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { NETWORK_PREFIX } from '../console/defaults.ts';

export const UNDERLAY = Prefix.parse('192.168.65.0/24');
export const OVERLAY = Prefix.parse('188.172.0.0/16');

/** The first host's address; .1 and .2 are left for a gateway and a visitor. */
const FIRST_HOST = Ip.parse('192.168.65.3');
export const MOST_HOSTS = 250;
export const MOST_CONTAINERS = 200;

const DEFAULT_BACKEND = { Type: 'vxlan', VNI: 88, Port: 4789 };

/** How containers are made: as bare network namespaces, or by a dockerd of their host. */
export type Runtime = 'namespace' | 'docker';

/** Where the registry is: Debian's etcd, or the store that Tulle brings along. */
export type StoreKind = 'etcd' | 'tulle';

export interface LabRequest {
  readonly name: string;
  readonly hosts: number;
  /** On each host. */
  readonly containers: number;
  readonly runtime: Runtime;
  readonly store: StoreKind;
  /** The `Backend` object of the network's configuration; VXLAN with VNI 88 on port 4789 when absent. */
  readonly backend?: Readonly<Record<string, unknown>>;
}

export interface LabHostPlan {
  readonly name: string;
  /** On the underlay. */
  readonly address: Ip;
  /** Names, unique on the host. */
  readonly containers: readonly string[];
}

export interface LabPlan {
  readonly name: string;
  readonly runtime: Runtime;
  readonly store: StoreKind;
  readonly hosts: readonly LabHostPlan[];
  /** Value of `<prefix>/config`. */
  readonly networkConfig: string;
  readonly etcdPrefix: string;
  /** The flags of every agent; the store runs on the first host. */
  readonly etcdEndpoint: string;
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
  if (problems.length > 0) throw new ConfigError('lab', problems);

  const hosts = Array.from({ length: request.hosts }, (_, index) => ({
    name: `docker${index + 1}`,
    address: FIRST_HOST.plus(index),
    containers: Array.from({ length: request.containers }, (_, container) => `c${container + 1}`),
  }));
  return {
    name: request.name,
    runtime: request.runtime,
    store: request.store,
    hosts,
    networkConfig: JSON.stringify({
      Network: OVERLAY.toString(),
      Backend: request.backend ?? DEFAULT_BACKEND,
    }),
    etcdPrefix: NETWORK_PREFIX,
    etcdEndpoint: `http://${FIRST_HOST}:2379`,
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
