/** The L2 networks of the host that a connection to the kernel is bound to, with what the last run knew of them. */
import { hostname } from 'node:os';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { BridgeGuard } from '../../firewall/bridge/bridge-guard.ts';
import { GUARD_TABLE } from '../../firewall/bridge/guard-table.ts';
import { ruleChanges } from '../../firewall/changes.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { KeyValue } from '../../store/store.ts';
import { isHostName } from '../../subnet/lease/attributes.ts';
import type { Segment } from '../../subnet/segment/segment.ts';
import type { SegmentKeys } from '../../subnet/segment/segment-key.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import { SegmentState } from '../../subnet/segment/segment-state.ts';
import type { Netns } from '../../sys/netns.ts';
import type { DurableIdentity } from '../host-plan.ts';
import type { NetworkOptions } from '../options.ts';
import { portsOf, removePorts } from './endpoints/endpoint-ports.ts';
import { segmentLinkMacs } from './segment-names.ts';
import { Segments, type SegmentsParts } from './segments.ts';

export interface OpenSegmentsOptions
  extends Pick<
    SegmentsParts,
    | 'dataPlane'
    | 'host'
    | 'names'
    | 'saveKeys'
    | 'setRules'
    | 'setSenders'
    | 'health'
    | 'events'
    | 'clock'
    | 'logger'
  > {
  readonly options: Pick<NetworkOptions, 'underlay' | 'stateDirectory'>;
  readonly identity: Pick<DurableIdentity, 'hostId' | 'machine'>;
  readonly rtnetlink: Rtnetlink;
  readonly netns: Netns;
  readonly segmentRegistry: SegmentRegistry;
  /** Of `Targets.netfilter`. */
  readonly netfilter: Pick<Netfilter, 'commit' | 'port'>;
  /** What the store had when it was last read. */
  readonly cachedKeys: () => Iterable<KeyValue>;
}

export function openSegments(given: OpenSegmentsOptions): Segments {
  const { options, identity, netns, segmentRegistry: registry, cachedKeys } = given;
  return new Segments({
    ...given,
    registry,
    hostId: identity.hostId,
    hostName: ownHostName(),
    machine: identity.machine(undefined),
    stateDirectory: options.stateDirectory,
    criteria: options.underlay,
    guard: new BridgeGuard(given.netfilter),
    ruleChanges: signal => ruleChanges(netns, signal, { ignored: given.netfilter.port, own: GUARD_TABLE }),
    removeLinks: segments => removeSegmentLinks(segments, { ...given, hostId: identity.hostId }),
    former: segmentsAmong(cachedKeys(), registry.keys),
  });
}

/** What this host calls itself, if others can be told. */
export function ownHostName(): string | undefined {
  const name = hostname();
  return isHostName(name) ? name : undefined;
}

/** The networks that are in a copy of the store. */
export function segmentsAmong(keys: Iterable<KeyValue>, names: SegmentKeys): readonly Segment[] {
  const state = new SegmentState(names);
  const below = Array.from(keys).filter(({ key }) => key.startsWith(names.directory));
  state.replace(below, { revision: 0n });
  return Array.from(state.snapshot().segments.values(), ({ segment }) => segment);
}

/** Deletes the links of networks that are gone; one with another MAC address than this host gave it is not ours. */
async function* removeSegmentLinks(
  segments: readonly Segment[],
  {
    rtnetlink,
    hostId,
    logger,
  }: { readonly rtnetlink: Rtnetlink; readonly hostId: string; readonly logger: Logger },
): AsyncGenerator<string, void> {
  for (const segment of segments) {
    await removePorts(rtnetlink, portsOf(await rtnetlink.links.list(), segment));
    for (const [name, mac] of segmentLinkMacs(segment, hostId)) {
      try {
        const link = await rtnetlink.links.get(name);
        if (link === undefined || !mac.equals(link.mac)) continue;
        await rtnetlink.links.delete(link.index);
      } catch (error) {
        logger.warn({ link: name, error: messageOf(error) }, 'a former link could not be removed');
        continue;
      }
      yield name;
    }
  }
}
