/**
 * The network's configuration, as found at `<prefix>/config` (flannel.md 1.4; flannel pkg/subnet/config.go).
 */
import type { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';

/** How one address family is cut into subnets. */
export interface FamilyConfig {
  readonly network: Prefix;
  /** Prefix length of every subnet. */
  readonly subnetLength: number;
  /** Base addresses of the first and last subnet that may be leased. */
  readonly subnetMin: Ip;
  readonly subnetMax: Ip;
}

export interface NetworkConfig {
  /** At least one of the two is set. */
  readonly ipv4?: FamilyConfig;
  readonly ipv6?: FamilyConfig;
  readonly enableNftables: boolean;
  readonly backend: {
    /** Lower case. */
    readonly type: string;
    /** The Backend object as written; each backend checks its own keys, without regard to case. */
    readonly options: Readonly<Record<string, unknown>>;
  };
}
