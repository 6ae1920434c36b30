/**
 * Brings the inputs together and states the outcome. Whatever changes (the configuration, this host's network,
 * the lease, a peer) goes through the same few lines: decide what this host should be, and if that differs from
 * what was stated last, state it to the data plane, the firewall and the subnet file.
 *
 *     configuration ─┐
 *     host network  ─┼─> plan ─┬─> published in the lease
 *                    │         ├─────────────┐
 *     own lease     ─┘         │             ├─> data plane, firewall, subnet.env
 *     peers         ──────────────> PeerMapper ┘
 *
 * What is in use stays in use until something better is complete: a configuration that cannot be used, an
 * interface that is gone and a lease that is lost change the conditions, not the kernel.
 */
import { hostname } from 'node:os';
import type { Backend, BackendContext } from '../backend/backend.ts';
import { isLeftBehind } from '../backend/handover.ts';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/errors.ts';
import type { Prefix } from '../base/prefix.ts';
import { Watchable } from '../base/watchable.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';
import { type NetworkConfig, networksOf } from '../subnet/config/config.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import { type ActivePlan, fits } from './active-plan.ts';
import { type BridgeAddress, bridgeAddresses } from './bridges.ts';
import {
  deviceRefusal,
  devicesOf,
  type Handover,
  LINGER,
  nextHandover,
  SETTLE,
  sideBySide,
} from './handover.ts';
import {
  type DurableIdentity,
  type HostPlan,
  type HostPlanResult,
  type PlanRefusal,
  planHost,
} from './host-plan.ts';
import type { NetworkOptions } from './options.ts';
import { PeerMapper } from './peer-mapper.ts';
import type { PeerMove } from './peer-moves.ts';
import { PlanEvents } from './plan-events.ts';
import type { EventReporter, HealthReporter } from './reports.ts';
import type { HostNetwork } from './underlay.ts';

export interface ControllerOptions {
  readonly options: Pick<NetworkOptions, 'underlay' | 'firewall'>;
  readonly identity: DurableIdentity;
  readonly dataPlane: DataPlane;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly createBackend: (context: BackendContext) => Backend;
  /** The configuration that the last run had in use: it stays in use where the store has none that can be. */
  readonly formerConfig?: NetworkConfig;
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly #news: PlanEvents;
  readonly peers: PeerMapper;
  /** What this host should be; the registry follows it. */
  readonly plan = new Watchable<HostPlan | undefined>(undefined);
  /** The plan and the lease that are in use. */
  readonly activePlan = new Watchable<ActivePlan | undefined>(undefined);
  /** Where the containers of this host are. */
  readonly bridges = new Watchable<readonly BridgeAddress[]>([]);
  /** Grows with everything that was stated to the data plane and wants to be applied. */
  readonly stated = new Watchable(0);
  /** The newest configuration that is worth trying. The one in use is the plan's. */
  #config: NetworkConfig | undefined;
  /** Why the store has no such configuration now. */
  #unusable: PlanRefusal | undefined;
  /** Why the device of the newest configuration cannot be made. */
  #obstacle: PlanRefusal | undefined;
  /** Why the configuration in the store is not the one in use. */
  #refusal: PlanRefusal | undefined;
  /** The plan that is not in use alone: its predecessor is still there, or is still the one. */
  #handover: Handover | undefined;
  #network: HostNetwork | undefined;
  #lease: Lease | undefined;
  #arePeersKnown = false;
  /** Of this host, now and before. */
  #networks: readonly Prefix[];

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#news = new PlanEvents(options.health, options.events);
    this.#networks = options.formerConfig === undefined ? [] : networksOf(options.formerConfig);
    this.peers = new PeerMapper(options.dataPlane, (...trouble) => this.#news.peer(...trouble));
  }

  /** A valid configuration, or why there is none. */
  setConfig(reading: NetworkConfig | PlanRefusal): void {
    if ('trouble' in reading) {
      this.#unusable = reading;
      // What was refused before is not what the store has now, and is not tried again.
      this.#config = this.#inUse ?? this.#config;
      this.#report(reading);
      if (this.plan.value === undefined) this.#decide();
      return;
    }
    this.#unusable = undefined;
    this.#config = reading;
    this.#decide();
  }

  /** What is wrong with the configuration in the store; empty when it is the one in use. */
  get configProblems(): readonly Problem[] {
    return this.#refusal?.problems ?? [];
  }

  setNetwork(network: HostNetwork): void {
    this.#network = network;
    this.#decide();
    this.#checkSurroundings();
  }

  /** This host's own lease, as long as it may be used. */
  setLease(lease: Lease): void {
    this.#lease = lease;
    this.#state();
  }

  /** What changed among the peers; the first call brings all there are. @returns what is worth telling */
  changePeers(changed: Iterable<Lease>, gone: Iterable<string>): PeerMove[] {
    const moves = this.peers.change(changed, gone);
    this.#arePeersKnown = true;
    this.#state();
    return moves;
  }

  /**
   * The newest configuration is tried whenever something changes, because what this host lacks for it may have come.
   * While it cannot be used, the one in use goes on following this host's network.
   */
  #decide(): void {
    const { health } = this.#options;
    if (this.#config === undefined || this.#network === undefined) return;
    const inUse = this.#inUse;
    const newest = this.#planFor(this.#config, this.#network);
    const isRefused = !newest.ok && inUse !== undefined && inUse !== this.#config;
    const result = isRefused ? this.#planFor(inUse, this.#network) : newest;
    const isUnusable = isRefused || (!newest.ok && newest.condition === 'config');
    const refusal = isUnusable ? newest : (this.#unusable ?? this.#obstacle);
    this.#report(refusal);

    if (!result.ok) {
      if (result.condition !== 'config') health.report(result.condition, result.trouble);
      return;
    }
    health.report('underlay');
    const isFirst = this.plan.value === undefined;
    this.#adopt(result.plan, this.#network);
    // What is refused keeps no host from working that has something else to work with.
    if (isFirst) this.#report(refusal);
  }

  /** The configuration that this host works with, now or before it was started. */
  get #inUse(): NetworkConfig | undefined {
    return this.plan.value?.config ?? this.#options.formerConfig;
  }

  /** Goes over to this plan: in steps where it can stand beside the one in use, else at once. */
  #adopt(plan: HostPlan, network: HostNetwork): void {
    const before = this.#handover;
    const handover = this.#handoverTo(plan, network);
    const isSame = (a: HostPlan | undefined, b: HostPlan | undefined) => a?.fingerprint === b?.fingerprint;
    const isSameStep = isSame(before?.from, handover?.from) && isSame(before?.to, handover?.to);
    if (isSameStep && isSame(this.plan.value, handover?.step === 'preparing' ? handover.from : plan)) return;
    this.#handover = handover;
    this.#obstacle = undefined;
    if (handover !== undefined && before?.to.config !== plan.config) this.#news.step(handover);
    const published = this.#handover?.step === 'preparing' ? this.#handover.from : plan;
    if (published.fingerprint !== this.plan.value?.fingerprint) this.plan.set(published);
    this.#state();
  }

  #handoverTo(plan: HostPlan, network: HostNetwork): Handover | undefined {
    const before = this.#handover;
    const lease = this.#lease;
    const used = this.plan.value;
    if (lease === undefined || used === undefined || !fits(plan.config, lease.subnet)) return undefined;
    if (this.activePlan.value === undefined || !fits(used.config, lease.subnet)) return undefined;
    // The predecessor follows the host's network for as long as it is there.
    const predecessor = before?.to.config === plan.config ? before.from : used;
    const renewed = this.#planFor(predecessor.config, network);
    return nextHandover(before, renewed.ok ? renewed.plan : predecessor, plan, lease.subnet);
  }

  /**
   * Takes the next step of a handover when its time has come: to be called after every comparison of the data plane
   * with the kernel.
   */
  checkHandover(): void {
    const handover = this.#handover;
    if (handover?.step !== 'preparing') return;
    const { links } = this.#options.dataPlane.report();
    const broken = links.filter(({ name, inSync }) => !inSync && this.isPreparing(name));
    this.#obstacle = deviceRefusal(broken);
    if (broken.length > 0) return this.#report(this.#unusable ?? this.#obstacle);
    this.#handover = { ...handover, step: 'handing over' };
    this.plan.set(handover.to);
    this.#report(this.#unusable);
    this.#news.step(this.#handover);
    this.#state();
  }

  /** Whether a device is only being prepared: nothing depends on it yet. */
  isPreparing(device: string): boolean {
    if (this.#handover?.step !== 'preparing' || this.#lease === undefined) return false;
    return devicesOf(this.#handover.to, this.#lease.subnet).includes(device);
  }

  /** Ends handovers that everybody has followed, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for await (const _ of this.stated.changes(signal)) {
      const handover = this.#handover;
      this.#news.handover(handover, this.#leftBehind());
      if (handover === undefined) continue;
      const isFollowed = this.#isFollowed();
      // Whatever changes meanwhile is stated, and looked at in the next turn.
      await clock.sleep(isFollowed ? LINGER : SETTLE, signal).catch(() => undefined);
      if (isFollowed && handover === this.#handover && this.#isFollowed()) this.#endHandover(handover);
    }
  }

  #endHandover(handover: Handover): void {
    this.#news.handoverEnds(handover);
    this.#handover = undefined;
    this.#state();
  }

  #isFollowed(): boolean {
    return this.#handover?.step === 'handing over' && this.#leftBehind().length === 0;
  }

  #leftBehind(): string[] {
    const handover = this.#handover;
    if (handover === undefined) return [];
    const { from, to } = handover;
    return this.peers.keysOf(lease => isLeftBehind(from.backend, to.backend, lease));
  }

  #planFor(config: NetworkConfig, network: HostNetwork): HostPlanResult {
    const { options, identity, createBackend } = this.#options;
    const inUse = this.plan.value?.underlay;
    const criteria = options.underlay;
    const hostName = hostname();
    return planHost({ config, network, criteria, identity, hostName, inUse, createBackend });
  }

  /** Nothing is stated before the peers are known: until then every entry of theirs would look stale. */
  #state(): void {
    const plan = this.plan.value;
    const lease = this.#lease;
    if (plan === undefined || lease === undefined || !this.#arePeersKnown) return;
    if (!fits(plan.config, lease.subnet)) return;
    const before = this.activePlan.value;
    const used = this.#handover === undefined ? plan : sideBySide(plan, this.#handover);
    const isSamePlan = before?.plan.fingerprint === used.fingerprint;
    const isSameLease = before?.lease.key === lease.key;
    if (!isSamePlan) this.peers.use(used.backend);
    if (!isSamePlan || !isSameLease) {
      const isNew = (network: Prefix) => !this.#networks.some(known => known.equals(network));
      this.#networks = [...this.#networks, ...networksOf(used.config).filter(isNew)];
      const activePlan = { plan: used, lease, networks: this.#networks };
      this.#options.dataPlane.setHost({ ...used.backend.host(lease.subnet), networks: this.#networks });
      this.activePlan.set(activePlan);
      if (before !== undefined) this.#news.changed(before, activePlan);
      this.#checkSurroundings();
    }
    this.stated.set(this.stated.value + 1);
  }

  #checkSurroundings(): void {
    const activePlan = this.activePlan.value;
    if (activePlan === undefined || this.#network === undefined) return;
    this.#news.surroundings(this.#network, activePlan);
    const bridges = bridgeAddresses(this.#network, activePlan);
    if (JSON.stringify(bridges) !== JSON.stringify(this.bridges.value)) this.bridges.set(bridges);
  }

  #report(refusal: PlanRefusal | undefined): void {
    this.#refusal = refusal;
    this.#news.refusal(refusal, this.plan.value !== undefined);
  }
}
