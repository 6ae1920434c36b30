/** The one firewall of this host, which the overlay and the L2 networks share: either may be there without the other. */
import { valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { increment, Watchable } from '../base/watchable.ts';
import type { DesiredFirewall, SegmentBlock } from '../firewall/desired.ts';
import type { FirewallState } from '../firewall/reconciler.ts';
import type { FirewallPolicy } from './options.ts';
import type { Targets } from './targets.ts';

export class HostFirewall {
  readonly #target: Pick<Targets['firewall'], 'apply'>;
  readonly #policy: FirewallPolicy;
  /** Grows with every change of what the firewall and the subnet file should be. */
  readonly version = new Watchable(0);
  #dependsOnPeers = false;
  #segments: readonly SegmentBlock[] = [];
  /** Of all that there were: rules that name one are ours. */
  #subnets: readonly Prefix[] = [];

  constructor(target: Pick<Targets['firewall'], 'apply'>, policy: FirewallPolicy) {
    this.#target = target;
    this.#policy = policy;
  }

  /** Where the rules name peers, others are wanted. */
  peersChanged(): void {
    if (this.#dependsOnPeers) increment(this.version);
  }

  /** The rules were compared with those of this host. */
  compared({ dependsOnPeers }: Pick<FirewallState, 'dependsOnPeers'>): void {
    const isNew = dependsOnPeers && !this.#dependsOnPeers;
    this.#dependsOnPeers = dependsOnPeers;
    if (isNew) increment(this.version);
  }

  /** @param former subnets of L2 networks that the last run had */
  setSegments(segments: readonly SegmentBlock[], former: readonly Prefix[] = []): void {
    const subnets = [...segments.flatMap(segment => valuesOf(segment.subnets)), ...former];
    const isNew = (subnet: Prefix) => !this.#subnets.some(known => known.equals(subnet));
    this.#segments = segments;
    this.#subnets = [...this.#subnets, ...subnets.filter(isNew)];
    increment(this.version);
  }

  /**
   * A failure is reported by the target, which tries again by itself.
   * @param ofOverlay absent while there is none: on a host without L2 networks nothing is done then
   */
  async apply(ofOverlay?: DesiredFirewall): Promise<void> {
    if (ofOverlay === undefined && this.#subnets.length === 0) return;
    const { forward, randomFully } = this.#policy;
    const desired: DesiredFirewall = ofOverlay ?? {
      nftables: false,
      blocks: [],
      masquerade: false,
      forward,
      randomFully,
    };
    await this.#target
      .apply(this.#subnets.length === 0 ? desired : this.#withSegments(desired))
      .catch(() => undefined);
  }

  #withSegments(desired: DesiredFirewall): DesiredFirewall {
    const { formerNetworks = [], tunnel } = desired;
    const ports = new Set([...(tunnel?.ports ?? []), ...this.#segments.map(({ port }) => port)]);
    return {
      ...desired,
      segments: this.#segments,
      formerNetworks: [...formerNetworks, ...this.#subnets],
      ...(tunnel && { tunnel: { ...tunnel, ports: [...ports] } }),
    };
  }
}
