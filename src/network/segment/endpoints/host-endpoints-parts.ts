/** What the endpoints of a host are made of. */
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { SegmentGuard } from '../../../firewall/bridge/guard-table.ts';
import type { RuleKeeper } from '../../../firewall/rule-keeper.ts';
import type { Rtnetlink } from '../../../netlink/route/rtnetlink.ts';
import type { OwnNames } from '../../../subnet/names/names.ts';
import type { SegmentPresence } from '../../../subnet/segment/presence.ts';
import type { SegmentHost } from '../../../subnet/segment/segment.ts';
import type { SegmentWatch } from '../../../subnet/segment/segment-watch.ts';
import type { Netns } from '../../../sys/netns.ts';
import type { HealthReporter } from '../../reports.ts';

export interface HostEndpointsParts {
  readonly host: SegmentHost;
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  readonly presence: Pick<SegmentPresence, 'setEndpoints' | 'state'>;
  /** What was given out to containers that this host connects, and how it is freed. */
  readonly addresses: {
    given(name: string): Promise<readonly { readonly container: string }[]>;
    disconnect(name: string, container: string): Promise<unknown>;
  };
  readonly watch: Pick<SegmentWatch, 'snapshot' | 'changes'>;
  readonly guard: Pick<RuleKeeper<readonly SegmentGuard[]>, 'set'>;
  /** How containers are called that were attached here, and not only seen. */
  readonly names: OwnNames;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}
