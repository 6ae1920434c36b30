/**
 * Brings the inputs together and states the outcome. Whatever changes (the configuration, this host's network,
 * the lease, a peer) goes through the same few lines: decide what this host should be, and if that differs from
 * what was stated last, state it to the data plane, the firewall and the subnet file.
 *
 *     configuration ─┐
 *     host network  ─┼─> plan ─┬─> published in the lease
 *                    │         ├─────────────┐
 *     own lease     ─┘         │             ├─> data plane, firewall, subnet.env
 *     peers         ──────────────> PeerBook ┘
 *
 * What is in use stays in use until something better is complete: a configuration that cannot be used, an
 * interface that is gone and a lease that is lost change the conditions, not the kernel.
 */
import type { Backend, BackendContext } from '../backend/backend.ts';
import type { Problem } from '../base/errors.ts';
import { Latest } from '../base/latest.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';
import type { DesiredFirewall } from '../firewall/rules.ts';
import { familiesOf, type NetworkConfig } from '../subnet/config.ts';
import type { Lease, Subnet } from '../subnet/lease.ts';
import type { EventLog } from './event-log.ts';
import type { Health } from './health.ts';
import { type HostPlan, type HostPlanResult, planHost, type Refusal } from './host-plan.ts';
import type { AgentOptions } from './options.ts';
import { PeerBook } from './peer-book.ts';
import type { Identity } from './state-directory.ts';
import type { HostNetwork } from './underlay.ts';

export interface ControllerOptions {
  readonly options: Pick<AgentOptions, 'underlay' | 'firewall'>;
  readonly identity: Identity;
  readonly dataPlane: DataPlane;
  readonly health: Health;
  readonly events: EventLog;
  readonly createBackend: (context: BackendContext) => Backend;
}

/** A host that has all it needs: what the firewall and the subnet file are made of. */
export interface Outcome {
  readonly plan: HostPlan;
  readonly lease: Lease;
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly peers: PeerBook;
  /** What this host should be; the registry follows it. */
  readonly plan = new Latest<HostPlan | undefined>(undefined);
  /** The plan and the lease that are in use. */
  readonly outcome = new Latest<Outcome | undefined>(undefined);
  /** Grows with everything that was stated to the data plane and wants to be applied. */
  readonly stated = new Latest(0);
  /** The newest configuration that is worth trying. The one in use is the plan's. */
  #config: NetworkConfig | undefined;
  /** Why the store has no such configuration now. */
  #unusable: Refusal | undefined;
  /** Why the configuration in the store is not the one in use. */
  #refusal: Refusal | undefined;
  #network: HostNetwork | undefined;
  #lease: Lease | undefined;
  #arePeersKnown = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.peers = new PeerBook(options.dataPlane, (key, problems) => {
      if (problems.length === 0) {
        options.events.add('info', 'peer-reachable', `the peer ${key} can be reached now`, { key });
        return;
      }
      const text = `the peer ${key} cannot be reached: ${problems.join('; ')}`;
      options.events.add('warning', 'peer-unreachable', text, { key, problems });
    });
  }

  /** A valid configuration, or why there is none. */
  setConfig(reading: NetworkConfig | Refusal): void {
    if ('trouble' in reading) {
      this.#unusable = reading;
      // What was refused before is not what the store has now, and is not tried again.
      this.#config = this.plan.value?.config ?? this.#config;
      return this.#report(reading);
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
  }

  /** This host's own lease, as long as it may be used. */
  setLease(lease: Lease): void {
    this.#lease = lease;
    this.#state();
  }

  /** What changed among the peers; the first call brings all there are. */
  changePeers(changed: Iterable<Lease>, gone: Iterable<string>): void {
    this.peers.change(changed, gone);
    this.#arePeersKnown = true;
    this.#state();
  }

  /**
   * The newest configuration is tried whenever something changes, because what this host lacks for it may have come.
   * While it cannot be used, the one in use goes on following this host's network.
   */
  #decide(): void {
    const { health } = this.#options;
    if (this.#config === undefined || this.#network === undefined) return;
    const inUse = this.plan.value?.config;
    const newest = this.#planFor(this.#config, this.#network);
    const isRefused = !newest.ok && inUse !== undefined && inUse !== this.#config;
    const result = isRefused ? this.#planFor(inUse, this.#network) : newest;
    if (isRefused) this.#report(newest);
    else if (newest.ok || newest.condition !== 'config') this.#report(this.#unusable);
    else this.#report(newest);

    if (!result.ok) {
      if (result.condition !== 'config') health.report(result.condition, result.trouble);
      return;
    }
    health.report('underlay');
    if (result.plan.fingerprint === this.plan.value?.fingerprint) return;
    this.plan.set(result.plan);
    this.#state();
  }

  #planFor(config: NetworkConfig, network: HostNetwork): HostPlanResult {
    const { options, identity, createBackend } = this.#options;
    const inUse = this.plan.value?.underlay;
    return planHost({ config, network, criteria: options.underlay, identity, inUse, createBackend });
  }

  /** Nothing is stated before the peers are known: until then every entry of theirs would look stale. */
  #state(): void {
    const plan = this.plan.value;
    const lease = this.#lease;
    if (plan === undefined || lease === undefined || !this.#arePeersKnown) return;
    if (!fits(plan.config, lease.subnet)) return;
    const before = this.outcome.value;
    const isSamePlan = before?.plan.fingerprint === plan.fingerprint;
    const isSameLease = before?.lease.key === lease.key;
    if (!isSamePlan) this.peers.use(plan.backend);
    if (!isSamePlan || !isSameLease) {
      this.#options.dataPlane.setHost(plan.backend.host(lease.subnet));
      this.outcome.set({ plan, lease });
    }
    this.stated.set(this.stated.value + 1);
  }

  /** Tells why the configuration in the store is not in use; undefined when it is. */
  #report(refusal: Refusal | undefined): void {
    const { health } = this.#options;
    this.#refusal = refusal;
    const isInUse = this.plan.value !== undefined;
    health.report('config', isInUse ? undefined : refusal?.trouble);
    health.warn(
      'config',
      isInUse && refusal !== undefined
        ? [
            {
              id: 'refused',
              code: 'CONFIG_REFUSED',
              severity: 'error',
              title: 'the network configuration in the store is not the one in use',
              text: refusal.trouble.reason,
              ...(refusal.trouble.hint === undefined ? {} : { hint: refusal.trouble.hint }),
            },
          ]
        : [],
    );
  }
}

/** The wanted firewall of a host with this lease. */
export function firewallFor({ plan, lease }: Outcome, options: AgentOptions['firewall']): DesiredFirewall {
  const { config } = plan;
  return {
    nftables: config.enableNftables,
    blocks: familiesOf(config).flatMap(family => {
      const network = config[family]?.network;
      const subnet = lease.subnet[family];
      return network === undefined || subnet === undefined ? [] : [{ network, subnet }];
    }),
    masquerade: options.masquerade,
    forward: options.forward,
    randomFully: options.randomFully,
  };
}

/** Whether a lease is of this network; after a change of the network the next one will be. */
function fits(config: NetworkConfig, subnet: Subnet): boolean {
  return familiesOf(config).every(family => {
    const block = subnet[family];
    return block !== undefined && config[family]?.network.contains(block) === true;
  });
}
