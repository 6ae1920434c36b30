/**
 * A backend moves packets between hosts. It is a few pure functions around one moment of truth: what to publish
 * about this host, what this host's kernel needs, and what each peer adds to that. It never touches the kernel
 * itself; `dataplane` makes the returned state real. A lease is mapped alone, so that one change among many
 * peers costs one mapping.
 */
import type { Problem } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { DesiredHost, PeerPath } from '../dataplane/desired.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import type { NetworkConfig } from '../subnet/config/config.ts';
import type { Lease, LeaseAttributes, Subnet } from '../subnet/lease/lease.ts';
import type { UnderlayRoute } from './topology.ts';
import type { PeerWays, WayChoice } from './ways.ts';

/** The physical path of this host: the link that carries tunnel packets and its addresses. */
export interface Underlay {
  readonly link: { readonly index: number; readonly name: string; readonly mtu: number };
  /** Of the link itself: what is published, where the link has that. */
  readonly ip: PerFamily<Ip>;
  /** Published to peers; the link's own unless given by `--public-ip`. */
  readonly publicIp: PerFamily<Ip>;
  /** Absent until they were read, which is only done for a backend that needs them. */
  readonly routes?: readonly UnderlayRoute[];
}

export interface BackendContext {
  readonly config: NetworkConfig;
  readonly underlay: Underlay;
  /** UDP port that this kernel gives a VXLAN device for which none is asked. */
  readonly defaultVxlanPort: number;
  /** Whether a forwarder could make its device; absent means yes. */
  readonly hasTun?: boolean;
  /** Secrets and identities that survive restarts, by name; created by the agent's state directory. */
  readonly identity: HostIdentity;
  /** Absent where this host does not allow that commands of the configuration are run. */
  readonly commands?: CommandResults;
}

/** What commands of the configuration have said on this host. */
export interface CommandResults {
  /** Of its last successful run; undefined when it has not run, or another one since. @see Backend.preparation */
  resultOf(command: HostCommand): CommandResult | undefined;
}

export interface CommandResult {
  /** Standard output and errors, trimmed. */
  readonly output: string;
  /** How many runs there were before, of any such command: distinguishes this one from them. */
  readonly run: number;
}

export interface HostIdentity {
  /** Stable id of this host, a UUID. */
  readonly hostId: string;
  /** Stable VTEP MAC address for a device of this name. */
  mac(linkName: string): Mac;
}

/** Bytes that are there, or negative ones that are taken: `{ what: 'VXLAN over IPv4', bytes: -50 }`. */
export interface MtuPart {
  readonly what: string;
  readonly bytes: number;
}

/** What one lease means for this host. */
export interface PeerPlan {
  /** Ways to the peer; none when it cannot or need not be reached. */
  readonly paths: readonly PeerPath[];
  /** Why a family has no path: another backend type, unusable data. Shown in `tulle status`. */
  readonly problems: readonly string[];
  /** Ways that may not work yet, for a peer to which there never was another one. */
  readonly provisional?: readonly PeerPath[];
}

/** A program that moves packets in user space (src/forwarder). */
export interface ForwarderSpec {
  /** Name of its TUN device. */
  readonly device: string;
  /** Where peers send to: one address of each family at most. */
  readonly listen: readonly { readonly ip: Ip; readonly port: number }[];
  /** The longest packet that fits. */
  readonly mtu: number;
}

/** Commands for this host, whoever its peers are. */
export interface HostCommands {
  /** Of the preparation that they follow. */
  readonly run?: number;
  /** Name of the link that entries of peers belong to. */
  readonly link: string;
  /** Before the first peer is added. */
  readonly startup?: HostCommand;
  /** When this backend is left. */
  readonly shutdown?: HostCommand;
}

export interface Backend {
  /** Lower case, as in the configuration: `vxlan`. */
  readonly type: string;
  /** What is published to peers about this host. */
  attributes(): Pick<LeaseAttributes, 'backendType' | 'backendData' | 'tunnelPort' | 'ways'>;
  /** Whether the ways to peers depend on the routes of the underlay. */
  readonly needsRoutes?: boolean;
  /** A command that runs before this backend can be used: it can, when `run` says which run of it that was. */
  readonly preparation?: { readonly command: HostCommand; readonly run?: number };
  /** MTU of packets between containers: FLANNEL_MTU. */
  readonly overlayMtu: number;
  /** How it comes about: `overlayMtu` is the sum. */
  readonly mtuParts: readonly MtuPart[];
  /** Why a family of the network has no device on this host, while another has one. */
  readonly leftOut: readonly Problem[];
  /** What of the configuration gives way to what the underlay can do. */
  readonly reduced: readonly Problem[];
  /** What this host's kernel needs, independent of its peers. */
  host(own: Subnet): DesiredHost;
  /** Absent where the kernel moves all packets. */
  readonly forwarder?: ForwarderSpec;
  /** Of a backend whose work is done by commands. */
  commands?(own: Subnet): HostCommands | undefined;
  /**
   * How to reach the holder of a lease that is not our own.
   * @param chosen among its ways; the best one where nothing is chosen
   */
  peer(lease: Lease, chosen?: PerFamily<WayChoice>): PeerPlan;
  /** The ways to the peer, where the backend leaves a choice: none for a peer that is reached by what its lease says. */
  ways?(lease: Lease): PerFamily<PeerWays>;
  /**
   * What this host must have to take packets from the holder of a lease of whatever backend: while a network goes over
   * from one to another, a peer sends over this one before or after its lease says so. Absent where that is nothing.
   */
  accept?(lease: Lease): readonly PeerPath[];
}
