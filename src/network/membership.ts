/**
 * This host's place in the network, as the store has it: the configuration, this host's own lease, and the leases of
 * its peers. They are inputs of the overlay, and conditions of this host.
 *
 * A lease needs something to publish, so the second half begins with the first plan.
 */
import type { LeaseReport } from '../api/status.ts';
import { checkBackend, vtepMacsOf } from '../backend/registry.ts';
import { together } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { increment, Watchable } from '../base/watchable.ts';
import type { KeyValue } from '../store/store.ts';
import { EXAMPLE_CONFIG, type NetworkConfig } from '../subnet/config/config.ts';
import { ConfigWatch } from '../subnet/config/config-watch.ts';
import { LeaseHolder } from '../subnet/holder/lease-holder.ts';
import { addressesOf, isLease, type Lease, type RejectedLease, type Subnet } from '../subnet/lease/lease.ts';
import { checkLease } from '../subnet/lease/lease-check.ts';
import { PeerTracker } from '../subnet/peers/peers.ts';
import type { Registry } from '../subnet/registry.ts';
import { configRefusal, type HostPlan } from './host-plan.ts';
import { emitLeaseEvent, leaseFailure, leaseStatus, leaseWarnings, ownLeaseAmong } from './lease-report.ts';
import type { Overlay } from './overlay.ts';
import { emitPeerEvent, PeerMoves, warnOfPeers } from './peer-report.ts';
import type { EventReporter, HealthReporter, OwnedWarning } from './reports.ts';

/** Milliseconds in which further events of peers are gathered. */
const EVENTS_SETTLE = 200;

export interface MembershipOptions {
  readonly registry: Registry;
  readonly overlay: Overlay;
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  /** Milliseconds that must be left when the lease is renewed. */
  readonly renewMargin: number;
  /** The subnet of the last run, from the subnet file. */
  readonly previous: Subnet | undefined;
  /** What the configurations of the last run were read from. */
  readonly formerTexts: ReadonlyMap<NetworkConfig, Uint8Array>;
  /** What the store had below the network's prefix when it was last read, in this run or before. */
  readonly cachedKeys: () => Iterable<KeyValue>;
}

export class Membership {
  readonly #options: MembershipOptions;
  /** Whether another host has the identity of this one, and what goes with it. */
  readonly isCopy = new Watchable(false);
  readonly #config: ConfigWatch;
  #holder: LeaseHolder | undefined;
  #tracker: PeerTracker | undefined;
  /** Grows whenever something about the peers may call for a warning. */
  readonly #peerChanges = new Watchable(0);
  readonly #peerMoves: PeerMoves;
  readonly #configTexts: WeakMap<NetworkConfig, Uint8Array>;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#config = new ConfigWatch(options.registry, checkBackend);
    this.#peerMoves = new PeerMoves(options);
    this.#configTexts = new WeakMap(options.formerTexts);
  }

  get rejected(): Iterable<RejectedLease> {
    return this.#tracker?.rejected() ?? [];
  }

  /** The text that this configuration was read from, in this run or the last one. */
  textOf(config: NetworkConfig): Uint8Array | undefined {
    return this.#configTexts.get(config);
  }

  leaseStatus(): LeaseReport | undefined {
    return this.#holder && leaseStatus(this.#holder.state.value, this.#options.clock);
  }

  /** The store answers again after an outage. */
  storeAnswers(): void {
    this.#holder?.storeAnswers();
  }

  /** Takes part until `signal` aborts. The lease is kept; see `release`. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
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
    const { overlay, registry, health } = this.#options;
    for await (const reading of this.#config.reading.changes(signal)) {
      health.warn('config-text', reading.state === 'valid' ? reading.warnings.map(configWarning) : []);
      if (reading.state === 'valid') {
        this.#configTexts.set(reading.config, reading.value);
        overlay.setConfig(reading.config);
      } else if (reading.state === 'invalid') {
        overlay.setConfig(configRefusal(new ConfigError('network configuration', reading.problems)));
      } else if (reading.state === 'missing') {
        const failure = {
          code: 'NO_CONFIG',
          reason: `the store has no network configuration at ${registry.configKey}`,
          hint: `write one with \`tulle config set\`, for example ${EXAMPLE_CONFIG}`,
        };
        overlay.setConfig({ failure, problems: [] });
      }
    }
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { overlay, registry, cachedKeys, previous, events, clock, renewMargin } = this.#options;
    const plan = await firstPlan(overlay, signal);
    if (plan === undefined) return;
    const known = ownLeaseAmong(cachedKeys(), registry, plan.attributes);
    overlay.peers.remember(peersAmong(cachedKeys(), registry, plan));
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
      vtepMacsOf,
      onEvent: event => {
        emitPeerEvent(events, event);
        increment(this.#peerChanges);
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
      until => this.#followActivePlan(tracker, until),
      until => this.#followLease(holder, tracker, until),
      until => this.#followPeers(tracker, until),
      until => this.#followPeerChanges(tracker, until),
      until => this.#peerMoves.run(until),
    );
  }

  async #followPlan(holder: LeaseHolder, tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const plan of this.#options.overlay.plan.changes(signal)) {
      if (plan === undefined) continue;
      const { config, attributes } = plan;
      holder.update({ config, attributes });
      tracker.update({ self: attributes });
    }
  }

  /** Peers are judged by the network that is in use: those of the former one stay until we have left it. */
  async #followActivePlan(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const active of this.#options.overlay.active.changes(signal)) {
      if (active !== undefined) tracker.update({ config: active.plan.config });
    }
  }

  async #followLease(holder: LeaseHolder, tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    const { overlay, health } = this.#options;
    let ownKey: string | undefined;
    for await (const state of holder.state.changes(signal)) {
      const failure = leaseFailure(state);
      this.isCopy.set(state.failure?.code === 'DUPLICATE_IDENTITY');
      if (state.lease !== undefined || failure !== undefined) health.report('lease', failure);
      health.warn('lease', leaseWarnings(state));
      if (state.lease === undefined) continue;
      if (state.lease.key !== ownKey) tracker.update({ ownKey: state.lease.key });
      ownKey = state.lease.key;
      overlay.setLease(state.lease);
    }
  }

  async #followPeers(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    for await (const change of tracker.changes(signal)) {
      this.#peerMoves.add(this.#options.overlay.changePeers(change.changed, change.removed));
      increment(this.#peerChanges);
    }
  }

  /** Every peer is looked at, so this waits between two of a thousand events. */
  async #followPeerChanges(tracker: PeerTracker, signal: AbortSignal): Promise<void> {
    const { clock, health } = this.#options;
    for await (const _ of this.#peerChanges.changes(signal)) {
      warnOfPeers(health, tracker);
      await clock.sleep(EVENTS_SETTLE, signal).catch(() => undefined);
    }
  }
}

/** The peers that this host had at the last contact with the store. */
function* peersAmong(
  known: Iterable<KeyValue>,
  registry: Registry,
  { config, attributes }: HostPlan,
): Generator<Lease, void> {
  const context = { config, ownAddresses: addressesOf(attributes) };
  for (const kv of known) {
    const read = kv.key.startsWith(registry.subnetsPrefix) ? registry.decode(kv) : undefined;
    const checked = isLease(read) ? checkLease(read, context) : undefined;
    if (isLease(checked)) yield checked;
  }
}

async function firstPlan(overlay: Overlay, signal: AbortSignal): Promise<HostPlan | undefined> {
  for await (const plan of overlay.plan.changes(signal)) if (plan !== undefined) return plan;
  return undefined;
}

/** Harmless, and most likely not meant. */
function configWarning(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'CONFIG_QUESTIONABLE',
    severity: 'info',
    title: 'the network configuration has a probable mistake',
    text: formatProblem(problem),
  };
}
