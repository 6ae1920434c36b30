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
import { together } from '../base/abort.ts';
import { defined } from '../base/defined.ts';
import { Watchable } from '../base/watchable.ts';
import type { ApplyResult } from '../dataplane/report.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { HostAttachments } from './attachment/host-attachments.ts';
import { openAttachments } from './attachment/open-attachments.ts';
import { ClusterNames } from './cluster-names.ts';
import { NetworkFastPath } from './fastpath/network-fast-path.ts';
import type { HostPlan } from './host-plan.ts';
import { HostWatch } from './host-watch.ts';
import { Membership } from './membership.ts';
import type { NetworkParts } from './network-parts.ts';
import type { NetworkOptions } from './options.ts';
import { Overlay } from './overlay.ts';
import { type OverlayStatus, overlayStatus } from './overlay-status.ts';
import type { HostPorts } from './ports/host-ports.ts';
import { openPorts } from './ports/open-ports.ts';
import type { HostResolver } from './resolver/host-resolver.ts';
import { openResolver } from './resolver/open-resolver.ts';
import { openSegments, ownHostName } from './segment/open-segments.ts';
import type { Segments } from './segment/segments.ts';
import type { SharedDataPlane } from './shared-data-plane.ts';
import { openTargets } from './targets.ts';
import type { HostNetwork } from './underlay.ts';

export class Network implements AsyncDisposable {
  readonly #options: NetworkOptions;
  readonly #hostWatch: HostWatch;
  readonly #overlay: Overlay;
  readonly #membership: Membership;
  /** The L2 networks of this host. */
  readonly segments: Segments;
  /** What container engines have put on networks of this host. */
  readonly attachments: HostAttachments;
  /** How containers are called, here and on other hosts. */
  readonly names: ClusterNames;
  /** Ports of this host that lead to containers. */
  readonly ports: HostPorts;
  /** Answers containers of this host that ask for names. */
  readonly resolver: HostResolver;
  readonly #fastPath: NetworkFastPath;
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
      openTargets: listener => openTargets({ ...parts, identity, ...storeOf(parts) }, listener),
    });
    this.names = new ClusterNames({
      ...parts,
      store: parts.registry.store,
      prefix: parts.registry.prefix,
      hostId: identity.hostId,
      hostName: ownHostName(),
    });
    const { netfilter } = this.#overlay.targets;
    this.segments = openSegments({
      ...parts,
      names: this.names.source(),
      dataPlane: this.dataPlane,
      host: this.host,
      setRules: (...rules) => this.#overlay.firewall.setSegments(...rules),
      setSenders: segments => this.#overlay.senders.setSegments(segments),
      netfilter,
    });
    this.ports = openPorts({ ...parts, netfilter, network: this });
    this.attachments = openAttachments({
      ...parts,
      stateDirectory: options.stateDirectory,
      hostId: identity.hostId,
      active: this.#overlay.active,
      host: this.host,
      segments: this.segments,
      dataPlane: this.dataPlane,
      names: this.names.source(),
      ports: this.ports,
    });
    const { names, segments, attachments, host, plan } = this;
    this.resolver = openResolver({ ...parts, names, segments, attachments, host, plan, netfilter });
    const { active } = this.#overlay;
    this.#fastPath = new NetworkFastPath({ ...parts, active, segments, host, dataPlane: this.dataPlane });
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

  /** Leases of the peers, as they are now. */
  peerLeases(): Iterable<Lease> {
    return this.#overlay.peers.leases();
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
      until => this.names.run(until),
      until => this.ports.run(until),
      until => this.attachments.run(until),
      until => this.resolver.run(until),
      until => this.#fastPath.run(until),
      until => this.#followIdentity(until),
    );
  }

  /** Calls back when `used` has changed, until `signal` aborts. */
  async followUsed(onChange: () => void, signal: AbortSignal): Promise<void> {
    const onValue = (value: unknown) => void (value !== undefined && onChange());
    await together(
      signal,
      until => this.#overlay.plan.follow(onValue, until),
      until => this.#overlay.active.follow(onValue, until),
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
    await this.names.publisher.withdraw();
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

  /** Flows of the fast path are counted first: there may be tens of thousands. @throws SysError */
  async status(): Promise<OverlayStatus> {
    await this.#fastPath.countFlows();
    const { rejected } = this.#membership;
    this.#overlay.checkForwarding();
    const lease = this.#membership.leaseStatus();
    const status = overlayStatus(this.#overlay, this.#options, lease, rejected, this.host.value);
    return this.#fastPath.addTo(status);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ports[Symbol.dispose]();
    await this.#overlay[Symbol.asyncDispose]();
  }

  async #readRoutesWhenNeeded(signal: AbortSignal): Promise<void> {
    for await (const needs of this.#overlay.needsRoutes.changes(signal))
      this.#hostWatch.needsRoutes.set(needs);
  }

  /** What a host has on L2 networks is known by its identity, which its copy has as well. */
  async #followIdentity(signal: AbortSignal): Promise<void> {
    for await (const isCopy of this.#membership.isCopy.changes(signal)) {
      this.segments.presence.suspend(isCopy);
      this.names.publisher.suspend(isCopy);
    }
  }

  async #followHost(signal: AbortSignal): Promise<void> {
    for await (const network of this.host.changes(signal)) {
      if (network !== undefined) this.#overlay.setNetwork(network);
    }
  }
}

const storeOf = ({ fastPath }: NetworkParts) => ('store' in fastPath ? { programs: fastPath.store } : {});
