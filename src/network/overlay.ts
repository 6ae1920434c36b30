/**
 * The overlay on this host. One object holds the active plan with the state it asks for, applies that to the data
 * plane, the firewall and the subnet file, and reports how each of them is.
 *
 *     configuration ─┐
 *     host network  ─┴─> Planner ─┬─> published in the lease
 *                                 │
 *     own lease     ──────────────┴─> ActivePlan ─┬─> data plane
 *     peers         ────────────────> PeerMapper ─┤
 *     bridges       ──────────────────────────────┴─> firewall, subnet.env
 *
 * What is in use stays in use until its replacement is complete: a configuration that cannot be used, a missing
 * interface or a lost lease changes the conditions, not the kernel.
 */
import type { Backend, BackendContext } from '../backend/backend.ts';
import { ownLinks } from '../backend/handover.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { increment, Watchable } from '../base/watchable.ts';
import type { FirewallState } from '../firewall/reconciler.ts';
import { type NetworkConfig, networksOf } from '../subnet/config/config.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import { type ActivePlan, activate, firewallFor, fits, forwarderFor, subnetEnvFor } from './active-plan.ts';
import { applyDataPlane } from './apply-data-plane.ts';
import { ApplyReporter } from './apply-reporter.ts';
import type { Handover } from './handover.ts';
import { endHandovers } from './handover-end.ts';
import { HostFirewall } from './host-firewall.ts';
import type { DurableIdentity, HostPlan, PlanRefusal } from './host-plan.ts';
import { HostSenders } from './host-senders.ts';
import type { NetworkOptions } from './options.ts';
import { PeerMapper } from './peer-mapper.ts';
import { PeerProbes } from './peer-probes.ts';
import type { PeerMove } from './peer-report.ts';
import { PlanReporter } from './plan-reporter.ts';
import { Planner, type PlannerOptions } from './planner.ts';
import { Preparation } from './preparation.ts';
import type { EventReporter, HealthReporter } from './reports.ts';
import { Surroundings } from './surroundings.ts';
import type { OpenTargets, Targets } from './targets.ts';
import type { HostNetwork } from './underlay.ts';
import type { WayMove } from './ways/ways.ts';

export interface OverlayOptions extends Pick<PlannerOptions, 'formerConfig' | 'leavingConfig'> {
  readonly options: NetworkOptions;
  readonly identity: DurableIdentity;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly createBackend: (context: BackendContext) => Backend;
  /** Names of the devices that were in use in the last run. */
  readonly formerDevices: readonly string[];
  readonly openTargets: OpenTargets;
}

export class Overlay implements AsyncDisposable {
  readonly #options: OverlayOptions;
  readonly #targets: Targets;
  readonly #planner: Planner;
  readonly #planReporter: PlanReporter;
  readonly #applyReporter: ApplyReporter;
  readonly #preparation: Preparation;
  readonly #surroundings: Surroundings;
  readonly #probes: PeerProbes;
  readonly peers: PeerMapper;
  /** The plan and the lease in use, and the state of the host that follows from them. */
  readonly active = new Watchable<ActivePlan | undefined>(undefined);
  /** Grows with every change of what the data plane should be. */
  readonly #desiredVersion = new Watchable(0);
  #lease: Lease | undefined;
  #arePeersKnown = false;
  /** Those whose tunnel packets are taken: not the overlay's alone. */
  readonly senders: HostSenders;
  /** The one of this host: not the overlay's alone. */
  readonly firewall: HostFirewall;
  /** Networks that this host has or had. */
  #networks: readonly Prefix[];
  /** Devices of the last run that have not been compared with the plan yet. */
  #formerDevices: readonly string[];

  constructor(options: OverlayOptions) {
    const { health, events, formerConfig, formerDevices, clock } = options;
    this.#options = options;
    this.#networks = formerConfig === undefined ? [] : networksOf(formerConfig);
    this.#formerDevices = formerDevices;
    this.#planReporter = new PlanReporter(health, events);
    this.#applyReporter = new ApplyReporter(health, events);
    this.#preparation = new Preparation(clock);
    this.#planner = new Planner({
      ...options,
      report: this.#planReporter,
      preparation: options.options.extension && this.#preparation,
    });
    this.#targets = options.openTargets({
      networks: () => this.#networks,
      onRound: (_, settingsChanged) => this.#afterRound(settingsChanged),
      onRepair: repair => this.#applyReporter.repair(repair),
      onFirewallState: state => this.#afterFirewall(state),
      onSenderFilter: failure => this.#applyReporter.senderFilter(failure),
      onFirewallRepair: repaired => this.#applyReporter.firewallRepaired(repaired),
      onCommandFailure: reason => this.#applyReporter.commands(reason),
      onSubnetFileReplaced: (...texts) => this.#applyReporter.subnetFileReplaced(...texts),
    });
    this.firewall = new HostFirewall(this.#targets.firewall, options.options.firewall);
    this.#surroundings = new Surroundings({
      health,
      readSysctl: path => this.#targets.readSysctl(path),
      masquerade: options.options.firewall.masquerade,
    });
    const onMove = (move: WayMove) => this.#planReporter.moved(move);
    const onChange = (key: string) => this.#mapAgain(key);
    const active = () => this.active.value;
    this.#probes = new PeerProbes({ ...options, ...this.#targets, onMove, onChange, active });
    this.senders = new HostSenders(this.#targets.senders, options.options.firewall.checkSenders);
    const { ways, mtus, answers } = this.#probes;
    const onProblem = (...problem: Parameters<PlanReporter['peer']>) => this.#planReporter.peer(...problem);
    const around = { ways, mtus, answers, senders: this.senders };
    this.peers = new PeerMapper(this.#targets.network, onProblem, around);
  }

  /** What this host should be; undefined until it could be decided. */
  get plan(): Watchable<HostPlan | undefined> {
    return this.#planner.plan;
  }

  get needsRoutes(): Watchable<boolean> {
    return this.#planner.needsRoutes;
  }

  get handover(): Handover | undefined {
    return this.#planner.handover;
  }

  /** What is wrong with the configuration in the store; empty when it is the one in use. */
  get configProblems(): readonly Problem[] {
    return this.#planner.problems;
  }

  get targets(): Pick<
    Targets,
    'dataPlane' | 'rounds' | 'firewall' | 'forwarder' | 'senders' | 'netfilter' | 'subnetFile'
  > {
    return this.#targets;
  }

  /** Names of the network devices in use; until there is a plan, those of the last run. */
  get devices(): readonly string[] {
    const { host } = this.active.value ?? {};
    return host === undefined ? this.#options.formerDevices : ownLinks(host).map(({ name }) => name);
  }

  /** Repaired drift by kind of object, the firewall included. */
  driftRepairs(): Record<string, number> {
    const firewall = this.#applyReporter.firewallRepairs;
    return { ...this.#targets.dataPlane.report().driftRepairs, ...(firewall === 0 ? {} : { firewall }) };
  }

  /** A valid configuration, or why there is none. */
  setConfig(reading: NetworkConfig | PlanRefusal): void {
    if (this.#planner.setConfig(reading, this.#leaseInUse)) this.#updateDesired();
  }

  setNetwork(network: HostNetwork): void {
    if (this.#planner.setNetwork(network, this.#leaseInUse)) this.#updateDesired();
    if (this.#surroundings.setNetwork(network)) increment(this.firewall.version);
  }

  /** This host's own lease, as long as it may be used. */
  setLease(lease: Lease): void {
    this.#lease = lease;
    this.#updateDesired();
  }

  /** Changes among the peers; the first call brings all there are. @returns what is worth an event */
  changePeers(changed: Iterable<Lease>, gone: Iterable<string>): PeerMove[] {
    const moves = this.peers.change(changed, gone);
    this.#arePeersKnown = true;
    this.#updateDesired();
    return moves;
  }

  /** Applies what is desired until `signal` aborts. The kernel stays as it is. */
  async run(signal: AbortSignal): Promise<void> {
    const handovers = {
      ...this.#options,
      planner: this.#planner,
      peers: this.peers,
      report: this.#planReporter,
      version: this.#desiredVersion,
      onEnd: () => this.#updateDesired(),
    };
    const { subnetFile, forwarder } = this.#targets;
    const onOutcome = () => void (this.#planner.prepared(this.#leaseInUse) && this.#updateDesired());
    await together(
      signal,
      until => this.#applyDataPlane(until),
      until => this.#applyRules(until),
      until => endHandovers(handovers, until),
      until => subnetFile.state.follow(now => this.#applyReporter.subnetFile(subnetFile.path, now), until),
      until => this.#probes.run(until),
      until => forwarder.state.follow(now => this.#applyReporter.forwarder(now), until),
      until => this.#targets.run(until),
      until => this.#preparation.run(this.#targets.extension, onOutcome, until),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#targets[Symbol.asyncDispose]();
  }

  /** The kernel announces changes of sysctls; this looks at them in case it does not. */
  checkForwarding(): void {
    this.#surroundings.checkForwarding();
  }

  get #leaseInUse(): Lease | undefined {
    return this.active.value && this.#lease;
  }

  /** Nothing is desired before the peers are known: until then each of their entries would look stale. */
  #updateDesired(): void {
    const plan = this.#planner.applied;
    const lease = this.#lease;
    if (plan === undefined || lease === undefined || !this.#arePeersKnown) return;
    if (!fits(plan.config, lease.subnet)) return;
    const before = this.active.value;
    const isSamePlan = before?.plan.fingerprint === plan.fingerprint;
    this.#probes.setOwn(lease);
    if (!isSamePlan) this.peers.use(plan.backend);
    if (!isSamePlan || before?.lease.key !== lease.key) {
      const isNew = (network: Prefix) => !this.#networks.some(known => known.equals(network));
      this.#networks = [...this.#networks, ...networksOf(plan.config).filter(isNew)];
      const active = activate(plan, lease, this.#networks);
      this.#targets.network.setHost(active.host);
      this.#targets.forwarder.set(forwarderFor(active));
      this.active.set(active);
      this.#targets.extension?.use(plan.backend.commands?.(lease.subnet));
      if (before !== undefined) this.#planReporter.changed(before, active);
      this.#surroundings.setActive(active);
      this.senders.setActive(active);
      increment(this.firewall.version);
    } else this.firewall.peersChanged();
    increment(this.#desiredVersion);
  }

  #mapAgain(key: string): void {
    this.peers.again(key);
    increment(this.#desiredVersion);
  }

  async #applyDataPlane(signal: AbortSignal): Promise<void> {
    for await (const version of this.#desiredVersion.changes(signal)) {
      if (version > 0) await applyDataPlane(this.#targets, this.#applyReporter, this.#options.clock, signal);
    }
  }

  async #applyRules(signal: AbortSignal): Promise<void> {
    const { options, events } = this.#options;
    for await (const _ of this.firewall.version.changes(signal)) {
      const active = this.active.value;
      if (active === undefined) {
        await this.firewall.apply();
        continue;
      }
      const former = this.#formerDevices.filter(name => !this.devices.includes(name));
      this.#formerDevices = [];
      for await (const name of this.#targets.removeDevices(former)) {
        events.add('info', 'state-repaired', `removed: the former device ${name}`, { link: name });
      }
      this.checkForwarding();
      const peers = this.peers.underlayAddresses();
      const ofOverlay = firewallFor(active, options.firewall, this.#surroundings.bridges, peers);
      const applied = this.firewall.apply(ofOverlay);
      // Containers start when the file is there, and a connection that begins without masquerading stays without it.
      if (options.firewall.masquerade) await applied;
      this.#targets.subnetFile.set(subnetEnvFor(active, options.firewall));
      await applied;
    }
  }

  #afterRound(settingsChanged: boolean): void {
    const report = this.#targets.network.report();
    const links = report.links.filter(({ name }) => !this.#planner.isPreparing(name));
    this.#applyReporter.dataPlane({ ...report, links }, this.#targets.dataPlane.report().conflict);
    if (settingsChanged) this.checkForwarding();
    if (this.#planner.proceed(report.links)) this.#updateDesired();
  }

  #afterFirewall(state: FirewallState): void {
    this.#applyReporter.firewall(state);
    this.firewall.compared(state);
  }
}
