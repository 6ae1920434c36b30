/** What a person can choose about a network on this host. */
import type { Ip } from '../base/ip.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { NameServer } from '../dns/resolv-conf.ts';
import type { FastPathMode } from '../subnet/config/config.ts';
import type { ResolverMode } from './resolver/resolver-mode.ts';

/** How the underlay interface is chosen: all of `interfaces`, then `patterns`, then `canReach`. */
export interface UnderlayCriteria {
  readonly interfaces: readonly string[];
  readonly patterns: readonly RegExp[];
  readonly canReach?: Ip;
  /** Published instead of the address of the interface. */
  readonly publicIp: PerFamily<Ip>;
}

export interface FirewallPolicy {
  /** Packets that leave the network get the address of this host. */
  readonly masquerade: boolean;
  /** With a random source port. */
  readonly randomFully: boolean;
  /** Packets of the network are forwarded, whatever the policy of the host is. */
  readonly forward: boolean;
  /** Tunnel packets of peers are let in where the host's INPUT drops them. */
  readonly openPort: boolean;
  /** Tunnel packets of hosts that are no peers are refused, and sources that are not the sender's. */
  readonly checkSenders: boolean;
  readonly resyncSeconds: number;
}

/** Of the program that moves packets in user space, where a backend needs one. */
export interface ForwarderFiles {
  /** Path of `tulle`. */
  readonly program: string;
  /** Its control socket, and what it says. */
  readonly control: string;
  readonly logFile: string;
}

export interface NetworkOptions {
  /** Where what this host has to know over restarts is kept. */
  readonly stateDirectory: string;
  readonly underlay: UnderlayCriteria;
  /** Whether peers are asked if they answer. */
  readonly healthMesh: boolean;
  readonly firewall: FirewallPolicy;
  /** For all networks of this host, whatever their configuration says. */
  readonly fastPath: FastPathMode;
  readonly resolver: {
    readonly mode: ResolverMode;
    /** Asked instead of those of resolv.conf. */
    readonly upstream?: readonly NameServer[];
  };
  /** TCP port where the agent answers other hosts; absent where it does not. */
  readonly peerApiPort?: number;
  readonly lease: {
    readonly subnetFile: string;
    /** A lease is renewed when this much of its time is left. */
    readonly renewMarginMinutes: number;
  };
  /** Absent: commands of the configuration are not run. */
  readonly extension?: {
    /** Where what they have made is remembered. */
    readonly recordFile: string;
  };
}
