/**
 * The L2 networks on this host. Each is a scope of the one data plane, stated anew whenever the store or the host has
 * changed, and independent of the overlay, its configuration and its lease.
 *
 *     store ── SegmentWatch ──┐
 *     host ── underlay ───────┴─> SegmentScope `segment blue` ──> data plane
 *                                      ├─────> firewall
 *                                      ├─────> HostEndpoints: what is on its bridge, and the guard of it
 *     ports of the bridge ─────────────┴─────> SegmentPresence: member or not, endpoints
 *
 * A host is a member, and gets flooded frames, while the bridge has a port besides the tunnel. Links are announced by
 * the kernel, so nothing is polled. While the store is away everything stays, and a restarted agent begins with what
 * the one before it knew.
 */
import type { L2NetworkStatus, NetworkOnHost } from '../../api/networks.ts';
import type { Underlay } from '../../backend/backend.ts';
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import type { Logger } from '../../base/log.ts';
import { followAtPace, Pace } from '../../base/pace.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { BridgeGuard } from '../../firewall/bridge/bridge-guard.ts';
import type { SegmentGuard } from '../../firewall/bridge/guard-table.ts';
import type { SegmentBlock } from '../../firewall/desired.ts';
import { RuleKeeper } from '../../firewall/rule-keeper.ts';
import { SegmentPresence } from '../../subnet/segment/presence.ts';
import type { SegmentMember, SegmentSnapshot, SegmentsSnapshot } from '../../subnet/segment/segment.ts';
import { gatewayMac } from '../../subnet/segment/segment-mac.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import { SegmentWatch } from '../../subnet/segment/segment-watch.ts';
import type { UnderlayCriteria } from '../options.ts';
import type { EventReporter, HealthReporter } from '../reports.ts';
import type { SharedDataPlane } from '../shared-data-plane.ts';
import type { HostNetwork } from '../underlay.ts';
import { SegmentContainers, type SegmentContainersParts } from './containers.ts';
import { type SegmentSite, siteText } from './endpoints/segment-site.ts';
import { BRIDGE_NAMES } from './segment-names.ts';
import { SegmentRecord, type SegmentRecordParts } from './segment-record.ts';
import { SegmentReporter } from './segment-report.ts';
import { SegmentScope } from './segment-scope.ts';
import { segmentUnderlay } from './segment-underlay.ts';

export interface SegmentsParts
  extends Pick<SegmentContainersParts, 'netns' | 'rtnetlink' | 'stateDirectory' | 'names'>,
    SegmentRecordParts {
  readonly registry: SegmentRegistry;
  readonly hostId: string;
  readonly hostName: string | undefined;
  /** What only this machine has. */
  readonly machine: string | undefined;
  readonly criteria: UnderlayCriteria;
  readonly dataPlane: SharedDataPlane;
  /** Links and addresses of this host. */
  readonly host: Watchable<HostNetwork | undefined>;
  readonly guard: Pick<BridgeGuard, 'apply' | 'drops' | 'writeKnown'>;
  /** Yields whenever rules were changed in the kernel, until the signal aborts. */
  readonly ruleChanges: (signal: AbortSignal) => AsyncIterable<void>;
  /** States what the firewall has to do for all of them. */
  readonly setRules: (blocks: readonly SegmentBlock[], former: readonly Prefix[]) => void;
  /** States whose packets belong to them. */
  readonly setSenders: (segments: readonly SegmentSnapshot[]) => void;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Segments {
  readonly #parts: SegmentsParts;
  readonly watch: SegmentWatch;
  readonly presence: SegmentPresence;
  /** What is on the bridges, and what connects it. */
  readonly containers: SegmentContainers;
  readonly #reporter: SegmentReporter;
  readonly #keeper: RuleKeeper<readonly SegmentGuard[]>;
  /** By id. */
  readonly #scopes = new Map<string, SegmentScope>();
  readonly #record: SegmentRecord;
  #underlay: Underlay | undefined;
  /** Why there is none. */
  #noUnderlay: { readonly reason: string; readonly hint: string } | undefined;
  #isGuarding: boolean;
  #rules = '';
  #sites: readonly SegmentSite[] = [];
  /** Grows when a network came, went or was changed, in the store or in the kernel. */
  readonly version = new Watchable(0);

  constructor(parts: SegmentsParts) {
    const { registry, hostId, clock, logger, former } = parts;
    this.#parts = parts;
    this.#record = new SegmentRecord(parts);
    this.#isGuarding = former.length > 0;
    this.#reporter = new SegmentReporter(parts);
    this.watch = new SegmentWatch(registry, { clock, onEvent: event => this.#reporter.event(event) });
    this.presence = new SegmentPresence(registry, this.watch, {
      hostId,
      clock,
      onConflict: conflict => this.#reporter.conflict(conflict),
    });
    this.#keeper = new RuleKeeper({
      apply: guards => parts.guard.apply(guards),
      changes: parts.ruleChanges,
      clock,
      logger,
      onState: failure => this.#reporter.guard(failure),
      what: 'bridges',
    });
    const { watch, presence } = this;
    const { hostName, machine } = parts;
    this.containers = new SegmentContainers({
      ...parts,
      host: { hostId, ...defined({ hostName, machine }) },
      presence,
      watch,
      guard: { set: guards => this.#guard(guards) },
      scopeOf: name => this.scope(name),
    });
  }

  /** In the order of their names. */
  get scopes(): readonly SegmentScope[] {
    return [...this.#scopes.values()].sort((a, b) =>
      a.snapshot.segment.name < b.snapshot.segment.name ? -1 : 1,
    );
  }

  /** The network of this name, as it is on this host. */
  scope(name: string): SegmentScope | undefined {
    return this.scopes.find(({ snapshot }) => snapshot.segment.name === name);
  }

  get underlay(): Underlay | undefined {
    return this.#underlay;
  }

  /** Why there is no underlay, and what helps. */
  get noUnderlay(): { readonly reason: string; readonly hint: string } | undefined {
    return this.#noUnderlay;
  }

  /** Each of them in short. */
  status(): L2NetworkStatus[] {
    const { links = [] } = this.#parts.host.value ?? {};
    return this.scopes.map(scope => scope.status(links));
  }

  /** Each of them as it is on this host, with its counters. */
  async onHost(): Promise<NetworkOnHost[]> {
    const links = this.#parts.host.value?.links ?? [];
    const drops = this.#isGuarding ? await this.#parts.guard.drops().catch(() => undefined) : undefined;
    return this.scopes.map(scope => scope.onHost(links, drops?.get(scope.snapshot.segment.name)));
  }

  /** Gives back the ranges of this host, and all that it has published; what is in the kernel stays. @throws StoreError */
  async leave(): Promise<void> {
    await this.containers.addresses.leaveAll();
    await this.presence.withdraw();
  }

  /** Follows store and host until `signal` aborts; kernel and store stay as they are. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.watch.run(until),
      until => this.presence.run(until),
      until => this.containers.run(until),
      until => this.#followStore(until),
      until => this.#followHost(until),
      until => this.#followRounds(until),
      until => this.#followPresence(until),
      until => this.#keeper.run(until),
    );
  }

  async #followStore(signal: AbortSignal): Promise<void> {
    const pace = new Pace(this.#parts.clock);
    for await (const snapshot of this.watch.changes(signal)) {
      pace.begin();
      await this.#record.add(snapshot);
      this.#follow(snapshot);
      if (this.watch.isConnected.value) await this.#record.removeFormer(snapshot);
      await pace.rest(signal);
    }
  }

  async #followHost(signal: AbortSignal): Promise<void> {
    for await (const host of this.#parts.host.changes(signal)) {
      if (host === undefined) continue;
      const choice = segmentUnderlay(host, this.#parts.criteria, this.#underlay);
      this.#underlay = choice.found ? choice.underlay : undefined;
      this.#noUnderlay = choice.found ? undefined : choice;
      if (this.watch.snapshot !== undefined) this.#follow(this.watch.snapshot);
    }
  }

  /** What was made, or could not be, shows after a comparison with the kernel. */
  async #followRounds(signal: AbortSignal): Promise<void> {
    const look = () => {
      if (this.#scopes.size === 0) return;
      this.#stateMembers();
      this.containers.linksChanged();
      this.#report();
    };
    await followAtPace(this.#parts.dataPlane.rounds, this.#parts.clock, look, signal);
  }

  async #followPresence(signal: AbortSignal): Promise<void> {
    for await (const state of this.presence.state.changes(signal)) this.#reporter.presence(state);
  }

  #follow({ segments }: SegmentsSnapshot): void {
    const { dataPlane, hostId } = this.#parts;
    const present = new Set(Array.from(segments.values(), ({ segment }) => segment.id));
    let isChanged = false;
    for (const [id, scope] of this.#scopes) {
      if (present.has(id)) continue;
      isChanged = true;
      this.#scopes.delete(id);
      this.presence.forget(scope.snapshot.segment);
      scope.remove();
      this.containers.endpoints.ports.removed(scope.snapshot.segment);
      this.#reporter.gone(scope.snapshot.segment);
    }
    for (const snapshot of segments.values()) {
      if (!this.#record.has(snapshot.segment)) continue;
      const { id, name } = snapshot.segment;
      let scope = this.#scopes.get(id);
      if (scope === undefined) {
        scope = new SegmentScope(dataPlane.network(`segment ${name}`), snapshot, hostId);
        this.#scopes.set(id, scope);
      }
      if (scope.set(snapshot, this.#underlay)) isChanged = true;
    }
    // The data plane itself tries again what fails.
    if (isChanged) void dataPlane.apply().catch(() => undefined);
    this.#parts.setSenders(this.scopes.map(({ snapshot }) => snapshot));
    this.#stateRules();
    this.#stateSites();
    this.#stateMembers();
    this.#report();
    increment(this.version);
  }

  /** Says of which networks this host is a member. */
  #stateMembers(): void {
    const { host, hostId, hostName } = this.#parts;
    const links = host.value?.links;
    if (links === undefined || this.#underlay === undefined) return;
    const { publicIp } = this.#underlay;
    const member: SegmentMember = { hostId, addresses: publicIp, ...defined({ hostName }) };
    for (const scope of this.#scopes.values()) {
      if (scope.bridge === undefined) continue;
      const isMember = scope.ports(links).length > 0;
      this.presence.setMember(scope.snapshot.segment, isMember ? member : null);
    }
  }

  #stateRules(): void {
    const blocks = this.scopes.flatMap(({ plan, snapshot: { segment } }): SegmentBlock[] => {
      const { subnets, gateways, port } = segment;
      return plan === undefined
        ? []
        : [{ bridge: plan.links.bridge, bridges: BRIDGE_NAMES, subnets, gateways, port }];
    });
    const text = JSON.stringify(blocks);
    const isNothing = blocks.length === 0 && this.#rules === '' && this.#parts.former.length === 0;
    if (text === this.#rules || isNothing) return;
    this.#rules = text;
    this.#parts.setRules(
      blocks,
      this.#parts.former.flatMap(({ subnets }) => valuesOf(subnets)),
    );
  }

  /** What is on a bridge is followed from now on. A site that is the same object is the same. */
  #stateSites(): void {
    this.#sites = this.scopes.flatMap(({ plan, snapshot: { segment } }): SegmentSite[] => {
      if (plan === undefined) return [];
      const site = { segment, ...plan.links, gatewayMac: gatewayMac(segment), mtu: plan.mtu };
      const text = siteText(site);
      return [this.#sites.find(known => siteText(known) === text) ?? site];
    });
    this.containers.setSites(this.#sites);
  }

  /** On a host that never had such a network nothing of it is looked for. */
  #guard(guards: readonly SegmentGuard[]): void {
    if (guards.length === 0 && !this.#isGuarding) return;
    this.#isGuarding = true;
    this.#keeper.set(guards, this.#parts.guard.writeKnown(guards));
  }

  #report(): void {
    this.#reporter.segments(this.scopes, this.#noUnderlay);
  }
}
