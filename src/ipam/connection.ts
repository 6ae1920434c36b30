/** What connecting a container takes and gives, and what the room is made of. */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import type { SegmentPresence } from '../subnet/segment/presence.ts';
import type { SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import type { SegmentWatch } from '../subnet/segment/segment-watch.ts';
import type { HostMarks } from './own-ranges.ts';

export interface ConnectRequest {
  readonly container: string;
  readonly mac: Mac;
  /** Addresses of the network, one of each family at most; the next free ones for all others. */
  readonly ips?: readonly Ip[];
}

export interface Connection {
  readonly addresses: PerFamily<Ip>;
  /** Whether other hosts know of them; they will, as soon as the store answers. */
  readonly isPublished: boolean;
}

export type IpamEvent =
  /** Some or all of a former run's addresses are not known any more: its file cannot be read as a whole. */
  | { readonly type: 'lost'; readonly network: string; readonly error: unknown }
  /** The file cannot be written; what is given out now is forgotten by a restart. */
  | { readonly type: 'not-saved'; readonly network: string; readonly error: unknown }
  /** Another host has a range that this host gave addresses out of. */
  | { readonly type: 'range-lost'; readonly network: string; readonly block: Prefix };

export interface HostAddressesOptions {
  readonly registry: SegmentRegistry;
  readonly watch: SegmentWatch;
  readonly presence: SegmentPresence;
  /** Of the agent's state. */
  readonly directory: string;
  readonly host: HostMarks;
  /** Called with each event once. */
  readonly onEvent?: (event: IpamEvent) => void;
}
