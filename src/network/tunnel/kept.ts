/** What is kept of tunnels: what was asked for, and what was done to this host for it. */
import type { TunnelRequest } from '../../api/tunnels.ts';
import type { Mac } from '../../base/mac.ts';
import type { Fitted } from './members.ts';

export interface KeptTunnel {
  readonly request: TunnelRequest;
  /** Of the link: by it the link is known to be ours. */
  readonly mac: Mac;
  /** The bridge that it was attached to last. */
  readonly bridge?: string;
}

export interface KeptTunnels {
  readonly tunnels: readonly KeptTunnel[];
  readonly fitted: readonly Fitted[];
}

export interface TunnelStorage {
  /** @throws Error when they cannot be written: the former ones are kept then */
  save(kept: KeptTunnels): Promise<void>;
}
