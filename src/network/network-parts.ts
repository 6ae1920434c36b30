/** What a network of this host is made of that is opened before it. */
import type { Backend, BackendContext } from '../backend/backend.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { KeyValue } from '../store/store.ts';
import type { NetworkConfig } from '../subnet/config/config.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import type { Registry } from '../subnet/registry.ts';
import type { SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import type { Netns } from '../sys/netns.ts';
import type { AttachingConnections } from './attachment/open-attachments.ts';
import type { FastPathChoice } from './fastpath/network-fast-path.ts';
import type { DurableIdentity } from './host-plan.ts';
import type { ForwarderFiles, NetworkOptions } from './options.ts';
import type { EventReporter, HealthReporter } from './reports.ts';

export interface NetworkParts {
  readonly options: NetworkOptions;
  readonly registry: Registry;
  readonly rtnetlink: Rtnetlink;
  readonly attaching: AttachingConnections;
  readonly netns: Netns;
  readonly identity: DurableIdentity;
  readonly createBackend: (context: BackendContext) => Backend;
  readonly forwarderFiles: ForwarderFiles;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the store had below the network's prefix when it was last read, in this run or before. */
  readonly cachedKeys: () => Iterable<KeyValue>;
  /** Writes that to the disk of this host now. */
  readonly saveKeys: () => Promise<void>;
  readonly former: LastRun;
  readonly segmentRegistry: SegmentRegistry;
  readonly fastPath: FastPathChoice;
}

/** What is known of the last run on this host. */
export interface LastRun {
  readonly subnet: Subnet | undefined;
  /** The configuration that was in use. */
  readonly config: NetworkConfig | undefined;
  /** The one before, when peers had not followed yet. */
  readonly leaving: NetworkConfig | undefined;
  /** What these configurations were read from. */
  readonly texts: ReadonlyMap<NetworkConfig, Uint8Array>;
  /** Names of the devices that were in use. */
  readonly devices: readonly string[];
}
