/**
 * Who may send tunnel packets to this host: the peers and those that have something on L2 networks, as the filter of the
 * firewall needs it (src/firewall/senders).
 */
import { mapFamilies, valuesOf } from '../base/per-family.ts';
import type { PeerPath } from '../dataplane/desired.ts';
import type { GuardedTunnel, Sender, SenderPolicy } from '../firewall/senders/policy.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { SegmentSnapshot } from '../subnet/segment/segment.ts';
import type { ActivePlan } from './active-plan.ts';

/** The filter, with what keeps it. */
export interface SenderTarget {
  use(policy: SenderPolicy | undefined): void;
  set(key: string, sender: Sender | undefined): void;
}

export class HostSenders {
  readonly #target: SenderTarget;
  readonly #isAsked: boolean;
  #active: ActivePlan | undefined;
  #segments: readonly SegmentSnapshot[] = [];

  /** @param isAsked `--check-senders` */
  constructor(target: SenderTarget, isAsked: boolean) {
    this.#target = target;
    this.#isAsked = isAsked;
  }

  setActive(active: ActivePlan): void {
    this.#active = active;
    this.#state();
  }

  setPeer(lease: Lease, paths: readonly PeerPath[]): void {
    this.#target.set(`lease ${lease.key}`, senderOf(lease, paths));
  }

  removePeer(key: string): void {
    this.#target.set(`lease ${key}`, undefined);
  }

  /** L2 networks that are made on this host. */
  setSegments(segments: readonly SegmentSnapshot[]): void {
    const keyOf = ({ segment }: SegmentSnapshot) => `network ${segment.id}`;
    const known = new Set(segments.map(keyOf));
    for (const former of this.#segments)
      if (!known.has(keyOf(former))) this.#target.set(keyOf(former), undefined);
    for (const snapshot of segments) {
      const addresses = Array.from(snapshot.members.values()).flatMap(member => valuesOf(member.addresses));
      this.#target.set(keyOf(snapshot), { addresses, blocks: [] });
    }
    this.#segments = segments;
    this.#state();
  }

  /** The filter of an earlier run stays until there is a plan: without it strangers would be let in meanwhile. */
  #state(): void {
    if (!this.#isAsked) this.#target.use(undefined);
    else if (this.#active !== undefined) this.#target.use(policyOf(this.#active, this.#segments));
  }
}

/** undefined for a host that has no way here: nothing of it is expected. */
function senderOf({ subnet, attributes }: Lease, paths: readonly PeerPath[]): Sender | undefined {
  if (paths.length === 0) return undefined;
  const addresses = [...paths.map(({ underlayIp }) => underlayIp), ...(attributes.sendsFrom ?? [])];
  return { addresses, blocks: valuesOf(subnet) };
}

/** What comes in tunnels; packets that come as they are look like any other. */
function policyOf({ plan, host, lease }: ActivePlan, segments: readonly SegmentSnapshot[]): SenderPolicy {
  const { config, backend } = plan;
  const vxlan = host.links.flatMap(link => (link.kind === 'vxlan' ? [link] : []));
  const overlay = Map.groupBy(vxlan, ({ port }) => port);
  const others = Map.groupBy(segments, ({ segment }) => segment.port);
  return {
    subnets: lease.subnet,
    networks: mapFamilies(lease.subnet, (_, family) => config[family]?.network),
    tunnels: [
      ...Array.from(overlay, ([port, links]): GuardedTunnel => {
        return { port, vnis: [...new Set(links.map(({ vni }) => vni))], checksSources: true };
      }),
      ...Array.from(others, ([port, those]): GuardedTunnel => {
        return {
          port,
          vnis: those.map(({ segment }) => segment.vni).sort((a, b) => a - b),
          checksSources: false,
        };
      }),
      // The forwarder looks at what is inside by itself.
      ...(backend.forwarder?.listen ?? []).map(({ port }): GuardedTunnel => ({ port, checksSources: false })),
    ],
  };
}
