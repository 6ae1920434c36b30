/** A fault that can be planted in a lab, as data. */
import type { Scene } from './scene.ts';
import type { FaultStep } from './step.ts';

/** Where a fault is, in the order in which a packet comes by. The words head the groups of the list. */
export const PLACES = {
  container: 'in a container',
  bridge: 'at the bridge of the containers',
  neighbor: 'ARP and neighbor entries',
  sysctl: 'settings of the kernel',
  netfilter: 'firewall rules of the host',
  hooks: 'firewall rules where few look',
  nat: 'translated addresses',
  route: 'routes',
  rule: 'policy rules',
  mtu: 'sizes of packets',
  limit: 'limits and queues',
  tunnel: 'the tunnel, while no agent repairs it',
  underlay: 'the network between the hosts',
  docker: 'Docker',
  agent: 'the agent',
  store: 'the store and what is in it',
  identity: 'hosts that are taken for each other',
} as const;
export type FaultPlace = keyof typeof PLACES;

/**
 * What is lost between the container at fault, or the first one of the host at fault, and the first one of another host:
 *
 * all        every packet
 * large      packets of full size
 * some       some packets
 * tcp        TCP connections, while ping is answered
 * source     nothing, but packets arrive under another address
 * siblings   packets between two containers of the host at fault
 * later      nothing now
 */
export const EFFECTS = {
  all: 'no packet arrives',
  large: 'small packets arrive, and those of full size do not',
  some: 'some packets are lost',
  tcp: 'ping is answered, and connections are not made',
  source: 'packets arrive, under another source address',
  siblings: 'containers of the same host do not reach each other',
  later: 'nothing is lost now',
} as const;
export type Effect = keyof typeof EFFECTS;

/** A feature of the kernel that not all have: asked by a command in a new network namespace. */
export interface KernelFeature {
  readonly what: string;
  readonly attempt: readonly string[];
}

export interface Fault {
  /** kebab-case, one meaning in the catalogue. */
  readonly name: string;
  readonly place: FaultPlace;
  /** One line of the list. */
  readonly title: string;
  /** What it does, how it comes about, and how a person finds it by hand. */
  readonly story: string;
  /** What is broken: a host as a whole, or one container of it. */
  readonly on: 'host' | 'container';
  readonly effect: Effect;
  /** A host with dockerd. */
  readonly docker?: true;
  /** A second container on the host. */
  readonly sibling?: true;
  readonly kernel?: KernelFeature;
  plant(scene: Scene): readonly FaultStep[];
  mend(scene: Scene): readonly FaultStep[];
  /** Codes of findings, any of which is right: as the host at fault names it, and as another host does. None: there is nothing to say. */
  readonly finds: { readonly here: readonly string[]; readonly there: readonly string[] };
  /** Hosts that may be named as the place of the cause; the host at fault when absent. */
  readonly names?: readonly ('host' | 'peer')[];
}
