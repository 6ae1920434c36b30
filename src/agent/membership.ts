/**
 * This host's place in the network, as the store has it: the network's configuration, this host's own lease, and
 * the leases of its peers. What they say goes to the controller; how they are goes to the conditions.
 *
 * A lease needs something to publish, so the second half begins with the controller's first plan.
 */
import type { LeaseReport, StoreStatus } from '../api/status.ts';
import { checkBackend, stationsOf } from '../backend/registry.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { Watchable } from '../base/watchable.ts';
import type { Controller } from '../network/controller.ts';
import { configRefusal, type HostPlan } from '../network/host-plan.ts';
import { PeerMoves } from '../network/peer-moves.ts';
import type { OwnedWarning } from '../network/reports.ts';
import type { CachedStore } from '../store/cached-store.ts';
import { EXAMPLE_CONFIG, type NetworkConfig } from '../subnet/config/config.ts';
import { ConfigWatch } from '../subnet/config/config-watch.ts';
import { LeaseHolder } from '../subnet/holder/lease-holder.ts';
import type { RejectedLease, Subnet } from '../subnet/lease/lease.ts';
import { PeerTracker } from '../subnet/peers/peers.ts';
import type { Registry } from '../subnet/registry.ts';
import type { EventLog } from './health/event-log.ts';
import type { Health } from './health/health.ts';
import { emitPeerEvent, warnOfPeers } from './health/peer-events.ts';
import { isoTime } from './health/status-document.ts';
import { StoreContact } from './health/store-contact.ts';
import { emitLeaseEvent, leaseStatus, leaseTrouble, leaseWarnings, ownLeaseAmong } from './lease-keeper.ts';
import type { AgentOptions } from './options/options.ts';

/** Milliseconds in which further news of peers are gathered. */
const EVENTS_SETTLE = 200;

export interface MembershipOptions {
  readonly store: CachedStore;
  readonly registry: Registry;
  readonly controller: Controller;
  readonly health: Health;
  readonly events: EventLog;
  readonly clock: Clock;
  /** Milliseconds that must be left when the lease is renewed. */
  readonly renewMargin: number;
  /** The subnet of the last run, from the subnet file. */
  readonly previous?: Subnet;
  /** Told whenever another configuration has come into use. */
  readonly onConfigUsed: () => void;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #config: ConfigWatch;
  #holder: LeaseHolder | undefined;
  #tracker: PeerTracker | undefined;
  /** Grows whenever something about the peers may be remarkable. */
  readonly #peerChanges = new Watchable(0);
  readonly #peerMoves: PeerMoves;
  readonly #contact: StoreContact;
  readonly #configTexts = new WeakMap<NetworkConfig, Uint8Array>();

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#config = new ConfigWatch(options.registry, checkBackend);
    this.#peerMoves = new PeerMoves(options);
    this.#contact = new StoreContact({ ...options, onAnswer: () => this.#holder?.storeAnswers() });
  }

  get rejected(): Iterable<RejectedLease> {
    return this.#tracker?.rejected() ?? [];
  }

  /** What this configuration was read from; undefined when it is not of this run. */
  textOf(config: NetworkConfig): Uint8Array | undefined {
    return this.#configTexts.get(config);
  }

  leaseStatus(): LeaseReport | undefined {
    return this.#holder && leaseStatus(this.#holder.state.value, this.#options.clock);
  }

  /** @param way how the agent was told to reach the store; what is secret in it stays here. */
  storeStatus({
    endpoints,
    prefix,
    caFile,
    certFile,
    keyFile,
    username,
  }: AgentOptions['store']): StoreStatus {
    const { store } = this.#options;
    const { connected, error, revision } = store.contact.value;
    return {
      endpoints: [...endpoints],
      prefix,
      ...defined({ caFile, certFile, keyFile, username }),
      connected: connected === true,
      since: isoTime(this.#contact.since),
      ...(error === undefined ? {} : { lastError: error.message }),
      ...(revision === 0n ? {} : { revision: String(revision) }),
      cached: store.stale,
    };
  }

  /** Takes part until `signal` aborts. The lease is kept; see `release`. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#contact.run(until),
      until => this.#config.run(until),
      until => this.#followConfig(until),
      until => this.#join(until),
    );
  }

  /** Gives the lease back, after `run` has ended; its key, or undefined when there was none. @throws StoreError */
  async release(): Promise<string | undefined> {
    return (await this.#holder?.release())?.key;
  }

  async #followConfig(signal: AbortSignal): Promise<void> {
    const { controller, registry, health } = this.#options;
    for await (const reading of this.#config.reading.changes(signal)) {
      health.warn('config-text', reading.state === 'valid' ? reading.warnings.map(configWarning) : []);
      if (reading.state === 'valid') {
        this.#configTexts.set(reading.config, reading.value);
        controller.setConfig(reading.config);
      } else if (reading.state === 'invalid') {
        controller.setConfig(configRefusal(new ConfigError('network configuration', reading.problems)));
      } else if (reading.state === 'missing') {
        const trouble = {
          code: 'NO_CONFIG',
          reason: `the store has no network configuration at ${registry.configKey}`,
          hint: `write one with \`tulle config set\`, for example ${EXAMPLE_CONFIG}`,
        };
        controller.setConfig({ trouble, problems: [] });
      }
    }
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { controller, registry, store, previous, events, clock, renewMargin } = this.#options;
    const plan = await firstPlan(controller, signal);
    if (plan === undefined) return;
    const known = ownLeaseAmong(store.cached(), registry, plan.attributes);
    const holder = new LeaseHolder(registry, {
      config: plan.config,
      attributes: plan.attributes,
      ...(previous === undefined ? {} : { previous }),
      ...(known === undefined ? {} : { known }),
      onEvent: event => emitLeaseEvent(events, event),
      renewMargin,
      clock,
    });
    const tracker = new PeerTracker(registry, {
      config: plan.config,
      self: plan.attributes,
      stationsOf,
      onEvent: event => {
        emitPeerEvent(events, event);
        this.#peerChanges.set(this.#peerChanges.value + 1);
      },
      clock,
    });
    this.#holder = holder;
    this.#tracker = tracker;
    await together(
      signal,
      until => holder.run(until),
      until => tracker.run(until),
      until => this.#followPlan(holder, tracker, until),
      until => this.#followOutcome(tracker, until),
      until => this.#followLease(holder, tracker, until),
      until => this.#followPeers(tracker, until),
      until => this.#followPeerChanges(tracker, until),
      until => this.#peerMoves.run(until),
    );
  }

  async #followPlan(holder: LeaseHolder, tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const plan of this.#options.controller.plan.changes(signal)) {
      if (plan === undefined) continue;
      const { config, attributes } = plan;
      this.#options.onConfigUsed();
      holder.update({ config, attributes });
      tracker.update({ self: attributes });
    }
  }

  /** Peers are judged by the network that is in use: those of the former one stay until we have left it. */
  async #followOutcome(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const activePlan of this.#options.controller.activePlan.changes(signal)) {
      if (activePlan !== undefined) tracker.update({ config: activePlan.plan.config });
    }
  }

  async #followLease(holder: LeaseHolder, tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    const { controller, health } = this.#options;
    let ownKey: string | undefined;
    for await (const state of holder.state.changes(signal)) {
      const trouble = leaseTrouble(state);
      if (state.lease !== undefined || trouble !== undefined) health.report('lease', trouble);
      health.warn('lease', leaseWarnings(state));
      if (state.lease === undefined) continue;
      if (state.lease.key !== ownKey) tracker.update({ ownKey: state.lease.key });
      ownKey = state.lease.key;
      controller.setLease(state.lease);
    }
  }

  async #followPeers(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const change of tracker.changes(signal)) {
      this.#peerMoves.add(this.#options.controller.changePeers(change.changed, change.removed));
      this.#peerChanges.set(this.#peerChanges.value + 1);
    }
  }

  /** Looks at all peers, so it must not be done for each of a thousand events. */
  async #followPeerChanges(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    const { clock, health } = this.#options;
    for await (const _ of this.#peerChanges.changes(signal)) {
      warnOfPeers(health, tracker);
      await clock.sleep(EVENTS_SETTLE, signal).catch(() => undefined);
    }
  }
}

async function firstPlan(controller: Controller, signal: AbortSignal): Promise<HostPlan | undefined> {
  for await (const plan of controller.plan.changes(signal)) if (plan !== undefined) return plan;
  return undefined;
}

/** Harmless, and most likely not meant. */
function configWarning(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'CONFIG_QUESTIONABLE',
    severity: 'info',
    title: 'the network configuration has something that is probably not meant',
    text: formatProblem(problem),
  };
}
