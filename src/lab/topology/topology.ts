/**
 * What a lab is, as plain data: the shape of a topology file, of a scenario's lab, and of what a lab's record keeps.
 * `shape.ts` says which values have this shape, and `planTopology` what they mean.
 */

/** How containers are made: as bare network namespaces, or by a dockerd of their host. */
export type Runtime = 'namespace' | 'docker';

export const STORE_KINDS = ['tulle', 'etcd'] as const;
/** Which program is the registry: Debian's etcd, or the store that Tulle brings along. */
export type StoreKind = (typeof STORE_KINDS)[number];

export interface LabTopology {
  /** Of the lab. */
  readonly name?: string;
  /** Wires that hosts are plugged into, by name. */
  readonly segments?: Readonly<Record<string, UnderlaySegment>>;
  readonly hosts: Readonly<Record<string, TopologyHost>>;
  readonly store?: TopologyStore;
  /** Value of `<prefix>/config`: the network of the agents. */
  readonly network?: Readonly<Record<string, unknown>>;
}

export interface UnderlaySegment {
  /** CIDR, one per family at most. */
  readonly subnet?: string | readonly string[];
  /** Bytes of an IP packet; 1500 when absent. */
  readonly mtu?: number;
  /** Percent of the frames between two hosts that are lost. */
  readonly loss?: number;
  /** Milliseconds that a frame takes. */
  readonly delay?: number;
}

export interface TopologyHost {
  readonly links?: readonly TopologyLink[];
  /** `to` is a CIDR or `default`. */
  readonly routes?: readonly { readonly to: string; readonly via: string }[];
  /** Whether the host forwards packets for others, as a router and a host of containers do; false when absent. */
  readonly forwarding?: boolean;
  /** Whether Tulle's agent runs on it; false when absent. */
  readonly agent?: boolean | TopologyAgent;
  /** Whether dockerd runs on it; false when absent. */
  readonly docker?: boolean | TopologyDocker;
  /**
   * Names, unique on the host, or containers by name. They are on bridge `docker0`, in the subnet that the agent
   * leases; without an agent in that of `bridge`, or of Docker's default bridge.
   */
  readonly containers?: readonly string[] | Readonly<Record<string, TopologyContainer>>;
  /** Addresses with a length of `docker0`, on a host without agent and dockerd; 172.17.0.1/16 when absent. */
  readonly bridge?: string | readonly string[];
}

export interface TopologyDocker {
  /** Whether the agent serves `docker network create -d tulle`. */
  readonly plugin?: boolean;
  /**
   * Whether Docker's default bridge has the subnet that the agent leases. When absent it has, unless there is a plugin:
   * then Docker is as it is when it has just been installed.
   */
  readonly leased?: boolean;
  /** The host's /etc/docker/daemon.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /**
   * Path of a tar on this machine, as `docker save` or `docker export` writes it: the image of the containers. An
   * exported one is named as its file. Debian's busybox when absent.
   */
  readonly image?: string;
}

/** Of a dockerd. */
export interface TopologyContainer {
  /** Waits idle when absent. */
  readonly command?: readonly string[];
  /** Further flags of `docker run`. */
  readonly flags?: readonly string[];
}

export interface TopologyLink {
  readonly segment: string;
  /** IP addresses, with a length or with that of the segment's subnet. */
  readonly address?: string | readonly string[];
  /** `eth0` for the first, `eth1` for the second, ... when absent. */
  readonly name?: string;
  /** Bytes; that of the segment when absent. */
  readonly mtu?: number;
}

export interface TopologyAgent {
  /** Further ones, after those that the lab gives. */
  readonly flags?: readonly string[];
  /** Path of a flanneld that takes the agent's place. */
  readonly flanneld?: string;
}

export interface TopologyStore {
  /** Name of a host. */
  readonly on: string;
  /** Tulle's own when absent. */
  readonly kind?: StoreKind;
}
