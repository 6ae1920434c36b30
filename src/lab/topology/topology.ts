/**
 * What a lab is, as plain data: the shape of a topology file, of a scenario's lab, and of what a lab's record keeps.
 * `planTopology` gives it meaning.
 */
import * as v from 'valibot';

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

const texts = v.union([v.string(), v.array(v.string())]);
const optional = v.exactOptional;

/** Only the shape. What names, addresses and numbers mean is for `planTopology`. */
export const TopologyShape: v.GenericSchema<unknown, LabTopology> = v.strictObject({
  name: optional(v.string()),
  segments: optional(
    v.record(
      v.string(),
      v.strictObject({
        subnet: optional(texts),
        mtu: optional(v.number()),
        loss: optional(v.number()),
        delay: optional(v.number()),
      }),
    ),
  ),
  hosts: v.record(
    v.string(),
    v.strictObject({
      links: optional(
        v.array(
          v.strictObject({
            segment: v.string(),
            address: optional(texts),
            name: optional(v.string()),
            mtu: optional(v.number()),
          }),
        ),
      ),
      routes: optional(v.array(v.strictObject({ to: v.string(), via: v.string() }))),
      forwarding: optional(v.boolean()),
      agent: optional(
        v.union([
          v.boolean(),
          v.strictObject({ flags: optional(v.array(v.string())), flanneld: optional(v.string()) }),
        ]),
      ),
      docker: optional(
        v.union([
          v.boolean(),
          v.strictObject({
            config: optional(v.record(v.string(), v.unknown())),
            image: optional(v.string()),
          }),
        ]),
      ),
      containers: optional(
        v.union([
          v.array(v.string()),
          v.record(
            v.string(),
            v.strictObject({
              command: optional(v.array(v.string())),
              flags: optional(v.array(v.string())),
            }),
          ),
        ]),
      ),
      bridge: optional(texts),
    }),
  ),
  store: optional(v.strictObject({ on: v.string(), kind: optional(v.picklist(STORE_KINDS)) })),
  network: optional(v.record(v.string(), v.unknown())),
});
