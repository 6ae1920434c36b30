/**
 * This host's place in the network, as the store has it: the network's configuration, this host's own lease, and
 * the leases of its peers. What they say goes to the controller; how they are goes to the conditions.
 *
 * A lease needs something to publish, so the second half begins with the controller's first plan.
 */
import type { LeaseStatus, StoreStatus } from '../api/status.ts';
import { checkBackend, stationsOf } from '../backend/registry.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { Latest } from '../base/latest.ts';
import type { RememberingStore } from '../store/remembering.ts';
import { EXAMPLE_CONFIG, type NetworkConfig } from '../subnet/config.ts';
import { ConfigWatch } from '../subnet/config-watch.ts';
import type { RejectedLease, Subnet } from '../subnet/lease.ts';
import { LeaseHolder } from '../subnet/lease-holder.ts';
import { PeerTracker } from '../subnet/peers.ts';
import type { Registry } from '../subnet/registry.ts';
import type { Controller } from './controller.ts';
import type { EventLog } from './event-log.ts';
import type { Health, OwnedWarning } from './health.ts';
import { configRefusal, type HostPlan } from './host-plan.ts';
import { leaseStatus, leaseTrouble, leaseWarnings, ownLeaseAmong, tellLeaseEvent } from './lease-keeper.ts';
import type { AgentOptions } from './options.ts';
import { PeerMoves } from './peer-moves.ts';
import { tellPeerEvent, warnOfPeers } from './peer-news.ts';
import { isoTime } from './status-document.ts';
import { StoreContact } from './store-contact.ts';

/** Milliseconds in which further news of peers are gathered. */
const NEWS_SETTLE = 200;

export interface MembershipOptions {
  readonly store: RememberingStore;
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
  readonly #peerNews = new Latest(0);
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

  leaseStatus(): LeaseStatus | undefined {
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
    const known = ownLeaseAmong(store.remembered(), registry, plan.attributes);
    const holder = new LeaseHolder(registry, {
      config: plan.config,
      attributes: plan.attributes,
      ...(previous === undefined ? {} : { previous }),
      ...(known === undefined ? {} : { known }),
      onEvent: event => tellLeaseEvent(events, event),
      renewMargin,
      clock,
    });
    const tracker = new PeerTracker(registry, {
      config: plan.config,
      self: plan.attributes,
      stationsOf,
      onEvent: event => {
        tellPeerEvent(events, event);
        this.#peerNews.set(this.#peerNews.value + 1);
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
      until => this.#followPeerNews(tracker, until),
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
    for await (const outcome of this.#options.controller.outcome.changes(signal)) {
      if (outcome !== undefined) tracker.update({ config: outcome.plan.config });
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
      this.#peerNews.set(this.#peerNews.value + 1);
    }
  }

  /** Looks at all peers, so it must not be done for each of a thousand events. */
  async #followPeerNews(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    const { clock, health } = this.#options;
    for await (const _ of this.#peerNews.changes(signal)) {
      warnOfPeers(health, tracker);
      await clock.sleep(NEWS_SETTLE, signal).catch(() => undefined);
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
