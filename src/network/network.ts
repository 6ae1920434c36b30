/**
 * The room of one network on this host: which underlay carries it, what this host should be for it, the way from one
 * configuration to the next, the peers, and all of it applied and reported.
 *
 *     kernel ── HostWatch ──┐
 *     store ─── Membership ─┴─> Overlay ──> data plane, firewall, subnet.env
 *                               Segments ─> scopes of their own in the same
 *
 * It reports to a HealthReporter and an EventReporter. What belongs to the daemon around it (its servers, options,
 * files and connection to the store) may not enter.
 */
import type { ForwarderTraffic } from '../api/messages.ts';
import type { Backend, BackendContext } from '../backend/backend.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import type { Logger } from '../base/log.ts';
import { Watchable } from '../base/watchable.ts';
import type { ApplyResult } from '../dataplane/report.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { KeyValue } from '../store/store.ts';
import type { NetworkConfig } from '../subnet/config/config.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import type { Registry } from '../subnet/registry.ts';
import type { SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import type { Netns } from '../sys/netns.ts';
import type { DurableIdentity, HostPlan } from './host-plan.ts';
import { HostWatch } from './host-watch.ts';
import { Membership } from './membership.ts';
import type { ForwarderFiles, NetworkOptions } from './options.ts';
import { Overlay } from './overlay.ts';
import { type OverlayStatus, overlayStatus } from './overlay-status.ts';
import type { EventReporter, HealthReporter } from './reports.ts';
import { openSegments } from './segment/open-segments.ts';
import type { Segments } from './segment/segments.ts';
import type { SharedDataPlane } from './shared-data-plane.ts';
import { openTargets } from './targets.ts';
import type { HostNetwork } from './underlay.ts';

export interface NetworkParts {
  readonly options: NetworkOptions;
  readonly registry: Registry;
  readonly rtnetlink: Rtnetlink;
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

export class Network implements AsyncDisposable {
  readonly #options: NetworkOptions;
  readonly #hostWatch: HostWatch;
  readonly #overlay: Overlay;
  readonly #membership: Membership;
  /** The L2 networks of this host. */
  readonly segments: Segments;
  readonly #leaving = new AbortController();
  /** Settles when this host takes no part in the registry any more. */
  #left: Promise<void> = Promise.resolve();

  constructor(parts: NetworkParts) {
    const { options, identity, former } = parts;
    this.#options = options;
    this.#hostWatch = new HostWatch({ ...parts, criteria: options.underlay });
    this.#overlay = new Overlay({
      ...parts,
      formerConfig: former.config,
      leavingConfig: former.leaving,
      formerDevices: former.devices,
      openTargets: listener => openTargets({ ...parts, identity }, listener),
    });
    this.segments = openSegments({
      ...parts,
      dataPlane: this.dataPlane,
      host: this.host,
      setRules: (...rules) => this.#overlay.firewall.setSegments(...rules),
    });
    this.#membership = new Membership({
      ...parts,
      overlay: this.#overlay,
      renewMargin: options.lease.renewMarginMinutes * 60_000,
      previous: former.subnet,
      formerTexts: former.texts,
    });
  }

  /** Links and addresses of this host; undefined until they were read. */
  get host(): Watchable<HostNetwork | undefined> {
    return this.#hostWatch.network;
  }

  /** For what else is made on this host; it works as soon as the network runs. */
  get dataPlane(): SharedDataPlane {
    const { dataPlane, rounds } = this.#overlay.targets;
    return { network: name => dataPlane.network(name), apply: () => dataPlane.apply(), rounds };
  }

  /** What this host should be. */
  get plan(): Watchable<HostPlan | undefined> {
    return this.#overlay.plan;
  }

  /** VNIs that nothing else may have, and whose they are. */
  get vnis(): readonly { readonly vni: number; readonly owner: string }[] {
    const { links } = this.plan.value?.backend.host({}) ?? { links: [] };
    return [
      ...links.flatMap(link =>
        link.kind === 'vxlan' ? [{ vni: link.vni, owner: 'the overlay network' }] : [],
      ),
      ...this.segments.scopes.map(({ snapshot: { segment } }) => ({
        vni: segment.vni,
        owner: `the network ${segment.name}`,
      })),
    ];
  }

  /** What the next run should know of this one: the texts of configurations, and names of devices. */
  get used(): {
    readonly config: Uint8Array | undefined;
    readonly leaving: Uint8Array | undefined;
    readonly devices: readonly string[];
  } {
    const { plan, handover, devices } = this.#overlay;
    const leaving = handover?.step === 'handing over' ? handover.from : undefined;
    const [config, former] = [plan.value, leaving].map(used => used && this.#membership.textOf(used.config));
    return { config, leaving: former, devices };
  }

  /** Takes part in the network until `signal` aborts. The kernel and the lease stay as they are. */
  async run(signal: AbortSignal): Promise<void> {
    this.#left = this.#membership.run(AbortSignal.any([signal, this.#leaving.signal]));
    await together(
      signal,
      () => this.#left,
      until => this.#hostWatch.run(until),
      until => this.#readRoutesWhenNeeded(until),
      until => this.#followHost(until),
      until => this.#overlay.run(until),
      until => this.segments.run(until),
      until => this.#followIdentity(until),
    );
  }

  /** Calls back when `used` has changed, until `signal` aborts. */
  async followUsed(onChange: () => void, signal: AbortSignal): Promise<void> {
    const follow = async (changes: AsyncIterable<unknown>) => {
      for await (const value of changes) if (value !== undefined) onChange();
    };
    await together(
      signal,
      until => follow(this.#overlay.plan.changes(until)),
      until => follow(this.#overlay.active.changes(until)),
    );
  }

  /**
   * Leaves the registry and gives back what this host has on L2 networks, and the lease; it is neither renewed nor taken
   * again meanwhile.
   * @returns the key of the lease; undefined when there was none
   * @throws StoreError
   */
  async leave(): Promise<string | undefined> {
    this.#leaving.abort();
    await this.#left;
    await this.segments.leave();
    return this.#membership.release();
  }

  /** The store answers again after an outage. */
  storeAnswers(): void {
    this.#membership.storeAnswers();
  }

  /** Compares everything with the kernel, and repairs what differs. */
  resync(reason: string): Promise<ApplyResult> {
    return this.#overlay.targets.dataPlane.resync(reason);
  }

  /** What a forwarder has counted; undefined when none runs. @throws ForwarderError */
  async traffic(): Promise<ForwarderTraffic | undefined> {
    const stats = await this.#overlay.targets.forwarder.stats();
    if (stats === undefined) return undefined;
    const { host, routes } = stats;
    const counters = ({ sentPackets, sentBytes, receivedPackets, receivedBytes, drops }: typeof host) => ({
      sentPackets,
      sentBytes,
      receivedPackets,
      receivedBytes,
      drops: defined(drops) as Record<string, number>,
    });
    return {
      host: counters(host),
      peers: routes.map(route => ({ subnet: route.subnet, ...counters(route) })),
    };
  }

  status(): OverlayStatus {
    const { rejected } = this.#membership;
    this.#overlay.checkForwarding();
    const lease = this.#membership.leaseStatus();
    return overlayStatus(this.#overlay, this.#options, lease, rejected, this.host.value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#overlay[Symbol.asyncDispose]();
  }

  async #readRoutesWhenNeeded(signal: AbortSignal): Promise<void> {
    for await (const needs of this.#overlay.needsRoutes.changes(signal))
      this.#hostWatch.needsRoutes.set(needs);
  }

  /** What a host has on L2 networks is known by its identity, which its copy has as well. */
  async #followIdentity(signal: AbortSignal): Promise<void> {
    for await (const isCopy of this.#membership.isCopy.changes(signal))
      this.segments.presence.suspend(isCopy);
  }

  async #followHost(signal: AbortSignal): Promise<void> {
    for await (const network of this.host.changes(signal)) {
      if (network !== undefined) this.#overlay.setNetwork(network);
    }
  }
}
