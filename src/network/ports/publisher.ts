/**
 * Published ports: what comes to a port of this host goes to a port of a container (`docker run -p`). Where they are kept
 * on disk is the business of the attachments: a port lives exactly as long as the attachment it belongs to.
 *
 *     publish ─> packets flow, also while no agent runs ... withdraw
 *     restore   once after a start, before anything else: states all that there is
 */
import type { Ip } from '../../base/ip.ts';
import type { PerFamily } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { PublishedMapping } from '../attachment/attachments.ts';
import type { PortMapping } from '../attachment/port-mapping.ts';

/** Ports that are to be published for an attachment. */
export interface PublishWish {
  /** Of the attachment. */
  readonly id: string;
  /** For people. */
  readonly container: string;
  /** Of the container. */
  readonly addresses: PerFamily<Ip>;
  readonly network: PublishingNetwork;
  readonly mappings: readonly PortMapping[];
}

/** The network of a container, as far as ports are concerned: every ContainerNetwork is one. */
export interface PublishingNetwork {
  readonly name: string;
  /** Name of its bridge. */
  readonly bridge: string;
  /** What containers are on: their answers to each other do not pass this host. */
  readonly subnets: PerFamily<Prefix>;
  /** Addresses of this host on the bridge: of a family without one nothing is published. */
  readonly gateways: PerFamily<Ip>;
}

/** One that was published before, with the ports that it has. */
export interface FormerPublication extends PublishWish {
  readonly mappings: readonly PublishedMapping[];
}

/** A port as it is published now; of one that is published at every address and for both families there are two. */
export interface PublishedPort {
  /** Of the attachment. */
  readonly id: string;
  readonly container: string;
  readonly network: string;
  readonly protocol: PortMapping['protocol'];
  /** Absent: every address of this host of the family. */
  readonly hostIp?: Ip;
  readonly hostPort: number;
  /** Of the container. */
  readonly address: Ip;
  readonly containerPort: number;
  readonly since: Date;
  /** Whether the port is ours alone; another program may have taken it while no agent ran. */
  readonly isHeld: boolean;
}

export interface PortPublisher {
  /**
   * All of them or none. When this returns, packets flow. What this attachment had published otherwise is withdrawn.
   *
   * @returns the mappings with the ports that were chosen; none for an internal network
   * @throws AttachmentError PORT_TAKEN, INVALID_WISH; FirewallError
   */
  publish(wish: PublishWish): Promise<readonly PublishedMapping[]>;
  /** Idempotent: nothing of an attachment that has none. Never fails: what cannot be removed now is removed soon. */
  withdraw(id: string): Promise<void>;
  /**
   * After a start: all that is published. What else is in the kernel is removed; before this call nothing is. A port that
   * another program has taken meanwhile is a warning: packets still go to the container.
   */
  restore(former: readonly FormerPublication[]): Promise<void>;
  /** In the order of the host's ports. */
  list(): readonly PublishedPort[];
}
