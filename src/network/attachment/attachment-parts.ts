/** What the attachments of a host are made of. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { OwnNames } from '../../subnet/names/names.ts';
import type { Netns } from '../../sys/netns.ts';
import type { PortPublisher } from '../ports/publisher.ts';
import type { NetworkSource } from './network-source.ts';

export interface HostAttachmentsParts {
  readonly rtnetlink: Rtnetlink;
  /** Another connection: the end of links takes long, and nothing that is attached waits for it. */
  readonly removing: { readonly links: Pick<Rtnetlink['links'], 'deleteGroup'> };
  readonly netns: Netns;
  readonly stateDirectory: string;
  readonly segments: NetworkSource;
  readonly overlay: NetworkSource & { run(signal: AbortSignal): Promise<void> };
  readonly ports: Pick<PortPublisher, 'publish' | 'withdraw' | 'restore'>;
  readonly names: OwnNames;
  readonly clock: Clock;
  readonly logger: Logger;
}
