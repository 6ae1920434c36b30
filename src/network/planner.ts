/**
 * Decides which plan this host follows. Each change of the configuration or of this host's network leads to the same
 * decision: make a plan of the newest configuration, and replace the plan in use with it, in the steps of a handover
 * where this host can have both at the same time. What was in use when the last run ended is still in the kernel and in
 * the lease, so the first plan of a run replaces that in the same way.
 *
 * A configuration that cannot be used changes a condition or a warning, and the plan in use stays. The newest one is
 * tried again whenever something changes, because what this host lacked for it may be there now.
 */
import { hostname } from 'node:os';
import type { Backend, BackendContext } from '../backend/backend.ts';
import { defined } from '../base/defined.ts';
import type { Problem } from '../base/errors.ts';
import { Watchable } from '../base/watchable.ts';
import type { LinkReport } from '../dataplane/report.ts';
import { isSameConfig, isSameNetwork, type NetworkConfig } from '../subnet/config/config.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import { fits } from './active-plan.ts';
import {
  deviceRefusal,
  devicesOf,
  type Handover,
  missingDevices,
  nextHandover,
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
import type { PlanReporter } from './plan-reporter.ts';
import type { Preparation } from './preparation.ts';
import type { HostNetwork } from './underlay.ts';

export interface PlannerOptions {
  readonly options: Pick<NetworkOptions, 'underlay' | 'peerApiPort'>;
  readonly identity: DurableIdentity;
  readonly createBackend: (context: BackendContext) => Backend;
  readonly report: PlanReporter;
  /** Absent where this host runs no commands of the configuration. */
  readonly preparation: Preparation | undefined;
  /** The configuration that the last run had in use: used while the store has none that can be used. */
  readonly formerConfig: NetworkConfig | undefined;
  /** The configuration before that, when peers had not followed yet. */
  readonly leavingConfig: NetworkConfig | undefined;
}

export class Planner {
  readonly #options: PlannerOptions;
  /** What this host should be. It is published in the lease. */
  readonly plan = new Watchable<HostPlan | undefined>(undefined);
  /** Whether a plan was made that depends on the routes of this host. */
  readonly needsRoutes = new Watchable(false);
  /** The newest configuration that is worth trying. The one in use is the plan's. */
  #config: NetworkConfig | undefined;
  /** Why the store has no such configuration now. */
  #unusable: PlanRefusal | undefined;
  /** Why the device of the newest configuration cannot be made. */
  #obstacle: PlanRefusal | undefined;
  /** Why the configuration in the store is not the one in use. */
  #refusal: PlanRefusal | undefined;
  #handover: Handover | undefined;
  #network: HostNetwork | undefined;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** The plan to apply: while a handover lasts, its backend is both. */
  get applied(): HostPlan | undefined {
    const plan = this.plan.value;
    return plan && this.#handover ? sideBySide(plan, this.#handover) : plan;
  }

  /** The way to a plan that is not applied alone yet. */
  get handover(): Handover | undefined {
    return this.#handover;
  }

  /** What is wrong with the configuration in the store; empty when it is the one in use. */
  get problems(): readonly Problem[] {
    return this.#refusal?.problems ?? [];
  }

  /**
   * @param reading a valid configuration, or why there is none
   * @param inUse the lease that the present plan is applied with
   * @returns whether `applied` has changed
   */
  setConfig(reading: NetworkConfig | PlanRefusal, inUse: Lease | undefined): boolean {
    if (!('failure' in reading)) {
      this.#unusable = undefined;
      this.#config = reading;
      return this.#decide(inUse);
    }
    this.#unusable = reading;
    // What was refused before is differs from the store now, and is not tried again.
    this.#config = this.#usedConfig ?? this.#config;
    this.#reportRefusal(reading);
    return this.plan.value === undefined && this.#decide(inUse);
  }

  /** @param inUse as for `setConfig` @returns whether `applied` has changed */
  setNetwork(network: HostNetwork, inUse: Lease | undefined): boolean {
    this.#network = network;
    return this.#decide(inUse);
  }

  /** A command has run that a configuration needs, or has failed. @param inUse as for `setConfig` */
  prepared(inUse: Lease | undefined): boolean {
    return this.#decide(inUse);
  }

  /**
   * Publishes the new plan of a handover as soon as its devices are in place.
   * @param links as the data plane has them, after a comparison with the kernel
   * @returns whether `applied` has changed
   */
  proceed(links: readonly LinkReport[]): boolean {
    const handover = this.#handover;
    if (handover?.step !== 'preparing') return false;
    const missing = missingDevices(handover, links);
    this.#obstacle = deviceRefusal(missing);
    if (missing.length > 0) {
      this.#reportRefusal(this.#unusable ?? this.#obstacle);
      return false;
    }
    this.#handover = { ...handover, step: 'handing over' };
    this.plan.set(handover.to);
    this.#reportRefusal(this.#unusable);
    this.#options.report.step(this.#handover);
    return true;
  }

  /** Whether nothing depends on this device yet, because it is only being prepared. */
  isPreparing(device: string): boolean {
    if (this.#handover?.step !== 'preparing') return false;
    const { from, to } = this.#handover;
    return devicesOf(to).includes(device) && !devicesOf(from).includes(device);
  }

  /** The new plan is applied alone from now on. */
  endHandover(): void {
    if (this.#handover !== undefined) this.#options.report.handoverEnds(this.#handover);
    this.#handover = undefined;
  }

  #decide(inUse: Lease | undefined): boolean {
    const { health } = this.#options.report;
    if (this.#config === undefined || this.#network === undefined) return false;
    const used = this.#usedConfig;
    const newest = this.#planFor(this.#config, this.#network);
    const isRefused = !newest.ok && used !== undefined && !isSameConfig(used, this.#config);
    const result = isRefused ? this.#planFor(used, this.#network) : newest;
    this.#options.preparation?.want(awaitedBy(newest) ?? awaitedBy(result));
    const failed = !result.ok && result.condition === 'config' ? result : undefined;
    // A plan in use was good when it was made: it is the underlay that has changed, or the values of a command.
    const isMisfit = this.plan.value !== undefined && failed?.awaits === undefined;
    const [misfit, unusable] = isMisfit ? [failed, undefined] : [undefined, failed];
    const refusal = isRefused ? newest : (unusable ?? this.#unusable ?? this.#obstacle);
    this.#reportRefusal(refusal);
    this.#options.report.misfit(misfit);

    if (!result.ok) {
      if (result.condition !== 'config') health.report(result.condition, result.failure);
      else if (result.awaits !== undefined) health.report('underlay');
      return false;
    }
    health.report('underlay');
    const { used: former, leaving } = this.#plansOfLastRun(this.#network);
    const needsRoutes = [result.plan, former, leaving].some(plan => plan?.backend.needsRoutes === true);
    if (needsRoutes && this.#network.routes === undefined) {
      // They are read now, and the decision is made again with them.
      this.needsRoutes.set(true);
      return false;
    }
    const isFirst = this.plan.value === undefined;
    const isChanged = this.#adopt(result.plan, this.#network, inUse);
    // A refused configuration is a warning as soon as this host has another one to work with.
    if (isFirst) this.#reportRefusal(refusal);
    return isChanged;
  }

  /** The configuration that this host works with, now or before it was started. */
  get #usedConfig(): NetworkConfig | undefined {
    return this.plan.value?.config ?? this.#options.formerConfig;
  }

  /** Replaces the plan in use: in steps where this host can have both, else at once. */
  #adopt(plan: HostPlan, network: HostNetwork, inUse: Lease | undefined): boolean {
    const before = this.#handover;
    const handover = this.#handoverTo(plan, network, inUse);
    const isSame = (a: HostPlan | undefined, b: HostPlan | undefined) => a?.fingerprint === b?.fingerprint;
    const isSameStep = isSame(before?.from, handover?.from) && isSame(before?.to, handover?.to);
    const published = handover?.step === 'preparing' ? handover.from : plan;
    if (isSameStep && isSame(this.plan.value, published)) return false;
    this.#handover = handover;
    this.#obstacle = undefined;
    const isNew = before === undefined || !isSameConfig(before.to.config, plan.config);
    if (handover !== undefined && isNew) this.#options.report.step(handover);
    if (!isSame(this.plan.value, published)) this.plan.set(published);
    return true;
  }

  #handoverTo(plan: HostPlan, network: HostNetwork, inUse: Lease | undefined): Handover | undefined {
    const { used = this.plan.value, leaving } = this.#plansOfLastRun(network);
    if (used === undefined || !this.#isStillThere(used, plan, network, inUse)) return undefined;
    // It may have been over since that was written down.
    const isGoing = leaving !== undefined && hasDevices(network, leaving);
    const resumed: Handover | undefined = isGoing
      ? { from: leaving, to: used, step: 'handing over' }
      : undefined;
    const before = this.#handover ?? resumed;
    // The former plan follows the host's network for as long as it is there.
    const isGoingOn = before !== undefined && isSameConfig(before.to.config, plan.config);
    const former = isGoingOn ? before.from : used;
    const renewed = this.#planFor(former.config, network);
    return nextHandover(before, renewed.ok ? renewed.plan : former, plan);
  }

  /** Whether this host has what the plan in use asks for, and its lease goes with the new one too. */
  #isStillThere(used: HostPlan, plan: HostPlan, network: HostNetwork, inUse: Lease | undefined): boolean {
    if (inUse !== undefined) return fits(plan.config, inUse.subnet) && fits(used.config, inUse.subnet);
    // Before this run has a lease, everything is as the last run has left it, unless the host was started again.
    return isSameNetwork(plan.config, used.config) && hasDevices(network, used);
  }

  /** What was in use, and what was being left; only until there is a plan of this run. */
  #plansOfLastRun(network: HostNetwork): { readonly used?: HostPlan; readonly leaving?: HostPlan } {
    const { formerConfig, leavingConfig } = this.#options;
    if (this.plan.value !== undefined) return {};
    const planOf = (config: NetworkConfig | undefined) => {
      const result = config && this.#planFor(config, network);
      return result?.ok === true ? result.plan : undefined;
    };
    return defined({ used: planOf(formerConfig), leaving: planOf(leavingConfig) });
  }

  #planFor(config: NetworkConfig, network: HostNetwork): HostPlanResult {
    const { options, identity, createBackend, preparation } = this.#options;
    const inUse = this.plan.value?.underlay;
    const result = planHost({
      config,
      network,
      criteria: options.underlay,
      identity,
      hostName: hostname(),
      ...defined({ peerApiPort: options.peerApiPort }),
      inUse,
      createBackend,
      ...(preparation && { commands: preparation }),
    });
    const { command, run } = (result.ok && result.plan.backend.preparation) || {};
    if (preparation === undefined || command === undefined || run !== undefined) return result;
    return { ok: false, condition: 'config', awaits: command, ...preparation.refusalOf(command) };
  }

  #reportRefusal(refusal: PlanRefusal | undefined): void {
    this.#refusal = refusal;
    this.#options.report.refusal(refusal, this.plan.value !== undefined);
  }
}

const awaitedBy = (result: HostPlanResult) => (result.ok ? undefined : result.awaits);

const hasDevices = ({ links }: HostNetwork, plan: HostPlan): boolean =>
  devicesOf(plan).every(name => links.some(link => link.name === name));
