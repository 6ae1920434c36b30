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
import { Latest } from '../base/latest.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';
import type { DesiredFirewall } from '../firewall/rules.ts';
import { familiesOf, type NetworkConfig } from '../subnet/config.ts';
import type { Lease, Subnet } from '../subnet/lease.ts';
import type { EventLog } from './event-log.ts';
import type { Health, Trouble } from './health.ts';
import { type HostPlan, planHost } from './host-plan.ts';
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
  #config: NetworkConfig | undefined;
  /** Why the configuration in the store is not the one above. */
  #refused: Trouble | undefined;
  #network: HostNetwork | undefined;
  #lease: Lease | undefined;
  #arePeersKnown = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.peers = new PeerBook(options.dataPlane, (key, problems) => {
      const text = `the peer ${key} cannot be reached: ${problems.join('; ')}`;
      options.events.add('warning', 'peer-unreachable', text, { key, problems });
    });
  }

  /** A valid configuration, or why there is none. */
  setConfig(config: NetworkConfig | Trouble): void {
    if ('code' in config) {
      this.#refused = config;
      return this.#reportConfig(config);
    }
    this.#refused = undefined;
    this.#config = config;
    this.#decide();
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

  #decide(): void {
    const { options, identity, createBackend, health } = this.#options;
    if (this.#config === undefined || this.#network === undefined) return;
    const result = planHost({
      config: this.#config,
      network: this.#network,
      criteria: options.underlay,
      identity,
      createBackend,
    });
    if (!result.ok) {
      if (result.condition === 'config') this.#reportConfig(result.trouble);
      else health.report(result.condition, result.trouble);
      return;
    }
    health.report('underlay');
    const isNew = result.plan.fingerprint !== this.plan.value?.fingerprint;
    if (isNew) this.plan.set(result.plan);
    // The one in use is planned anew with the host's network; the one in the store is no better for that.
    this.#reportConfig(this.#refused);
    if (isNew) this.#state();
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

  #reportConfig(trouble: Trouble | undefined): void {
    const { health } = this.#options;
    const isInUse = this.plan.value !== undefined;
    health.report('config', isInUse ? undefined : trouble);
    health.warn(
      'config',
      isInUse && trouble !== undefined
        ? [
            {
              id: 'refused',
              code: 'CONFIG_REFUSED',
              severity: 'error',
              title: 'the network configuration in the store is not the one in use',
              text: trouble.reason,
              ...(trouble.hint === undefined ? {} : { hint: trouble.hint }),
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
