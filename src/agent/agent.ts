/**
 * The composition root of the daemon: builds the parts, joins them, and waits for the end.
 *
 *     kernel ── HostWatch ──┐
 *     store ─── Membership ─┴─> Controller ──> Enforcer ──> data plane, firewall, subnet.env
 *                   └──────────────┴─────────────┴──> Health ──> API, readyz, metrics, systemd
 *
 * What can fail in the world around it does not end it: it is a condition with a reason, and is tried again. An error
 * that no part foresaw ends the process with a report: it is started again and adopts what it finds in the kernel.
 */
import process from 'node:process';
import type { ReleaseResult, ResyncResult } from '../api/messages.ts';
import type { Status } from '../api/status.ts';
import { createBackend } from '../backend/registry.ts';
import type { Clock } from '../base/clock.ts';
import { formatProblem, messageOf, type Problem } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { packageVersion } from '../base/version.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { Controller } from '../network/controller.ts';
import { Enforcer } from '../network/enforcer.ts';
import { HostWatch } from '../network/host-watch.ts';
import type { OwnedWarning } from '../network/reports.ts';
import { isForeignTo } from '../network/underlay.ts';
import { CachedStore } from '../store/cached-store.ts';
import type { EtcdStore } from '../store/etcd/etcd-store.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import { Registry } from '../subnet/registry.ts';
import type { Netns } from '../sys/netns.ts';
import { ServiceManager } from '../sys/notify.ts';
import { CertificateWatch } from './health/certificates.ts';
import { EventLog } from './health/event-log.ts';
import { Health } from './health/health.ts';
import { statusDocument } from './health/status-document.ts';
import { Membership } from './membership.ts';
import type { AgentOptions } from './options/options.ts';
import { openApi, serveHealth, serveMetrics } from './servers/servers.ts';
import { informServiceManager } from './servers/service-manager.ts';
import { keepIdentity } from './state/housekeeping.ts';
import { formerConfigOf, type KnownState, type KnownStateFile } from './state/known-state.ts';
import type { Identity } from './state/state-directory.ts';

/** What an agent is made of that is opened before it and closed after it. */
export interface AgentParts {
  readonly options: AgentOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly etcd: EtcdStore;
  readonly knownFile: KnownStateFile;
  readonly identity: Identity;
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  /** The subnet of the last run. */
  readonly previous: Subnet | undefined;
}

export class Agent {
  readonly #parts: AgentParts;
  readonly #startedAt: number;
  /** The configuration of the last run. */
  readonly #formerConfigText: Uint8Array | undefined;
  /** On the monotonic clock. */
  readonly #begun: number;
  readonly #events: EventLog;
  readonly #health: Health;
  readonly #store: CachedStore;
  readonly #certificates: CertificateWatch;
  readonly #hostWatch: HostWatch;
  readonly #enforcer: Enforcer;
  readonly #controller: Controller;
  readonly #membership: Membership;
  readonly #stop = new AbortController();
  readonly #leave = new AbortController();
  /** Settles when this host takes no part in the registry any more. */
  #left: Promise<void> = Promise.resolve();

  /** @param known what the last run knew; nothing of it is kept as it is. */
  constructor(parts: AgentParts, known: KnownState) {
    const { options, clock, logger, identity, rtnetlink, previous } = parts;
    this.#parts = parts;
    this.#startedAt = clock.now();
    this.#begun = clock.monotonic();
    this.#events = new EventLog({ clock, logger });
    this.#health = new Health(clock, this.#events);
    this.#health.warn('options', options.warnings.map(optionWarning));
    const shared = { options, clock, logger, health: this.#health, events: this.#events };
    const remember = () => this.#remember();
    this.#store = new CachedStore(parts.etcd, { cached: known.keys, onChange: remember });
    this.#certificates = new CertificateWatch({ ...shared, files: certificateFiles(options) });
    this.#hostWatch = new HostWatch({ ...shared, rtnetlink, criteria: options.underlay });
    this.#enforcer = new Enforcer({
      ...shared,
      rtnetlink,
      netns: parts.netns,
      identity,
      formerDevices: known.devices,
      onRound: () => this.#controller.checkHandover(),
      onDevices: remember,
    });
    const { dataPlane } = this.#enforcer;
    const formerConfig = formerConfigOf(known);
    this.#formerConfigText = known.config;
    this.#controller = new Controller({
      ...shared,
      identity,
      dataPlane,
      createBackend,
      ...(formerConfig && { formerConfig }),
    });
    this.#membership = new Membership({
      ...shared,
      store: this.#store,
      registry: new Registry(this.#store, { prefix: options.store.prefix }),
      controller: this.#controller,
      renewMargin: options.lease.renewMarginMinutes * 60_000,
      ...(previous === undefined ? {} : { previous }),
      onConfigUsed: remember,
    });
  }

  async run(outside: AbortSignal): Promise<void> {
    const { options, clock, logger, knownFile, identity } = this.#parts;
    const signal = AbortSignal.any([outside, this.#stop.signal]);
    await using _enforcer = this.#enforcer;
    const health = this.#health;
    const servers = { options, health, clock, logger };
    const serveApi = await openApi(servers, {
      status: () => this.#status(),
      resync: () => this.#resync(),
      releaseLease: () => this.#releaseLease(),
      events: this.#events,
    });
    signal.addEventListener('abort', () => health.stopping(), { once: true });
    const version = packageVersion();
    this.#events.add('info', 'start', `tulle ${version} starts`, { version, pid: process.pid });

    const taking = AbortSignal.any([signal, this.#leave.signal]);
    this.#left = runPart(until => this.#membership.run(until), taking);
    const keep = (work: (signal: AbortSignal) => Promise<void>) => runPart(work, signal);
    const manager = ServiceManager.fromEnvironment(process.env, process.pid);
    const used = this.#controller.plan;
    await Promise.all([
      this.#left,
      keep(serveApi),
      keep(until => this.#certificates.run(until)),
      keep(until => this.#hostWatch.run(until)),
      keep(until => this.#followNetwork(until)),
      keep(until => this.#controller.run(until)),
      keep(until => this.#enforcer.run(this.#controller, until)),
      keep(until => knownFile.run(until)),
      keep(until => keepIdentity({ identity, knownFile, used, health, clock }, until)),
      keep(until => serveHealth(servers, until)),
      keep(until => serveMetrics(servers, () => this.#status(), until)),
      manager && keep(until => informServiceManager(manager, health, clock, until)),
    ]);
    if (options.lease.releaseOnStop) await this.#tryToRelease();
    this.#events.add('info', 'stop', 'the agent stops; the data plane stays as it is');
  }

  async #followNetwork(signal: AbortSignal): Promise<void> {
    for await (const network of this.#hostWatch.network.changes(signal)) {
      if (network === undefined) continue;
      this.#parts.etcd.leaveAddress(isForeignTo(network));
      this.#controller.setNetwork(network);
    }
  }

  #remember(): void {
    this.#parts.knownFile.changed(() => ({
      keys: this.#store.cached(),
      devices: this.#enforcer.devices,
      ...this.#usedConfig(),
    }));
  }

  /** The configuration in use, for the next run; until there is one, that of the last run. */
  #usedConfig(): Pick<KnownState, 'config'> {
    const used = this.#controller.plan.value?.config;
    const config = (used && this.#membership.textOf(used)) ?? this.#formerConfigText;
    return config === undefined ? {} : { config };
  }

  #status(): Status {
    this.#enforcer.checkForwarding();
    const { options, clock, identity } = this.#parts;
    return statusDocument({
      version: packageVersion(),
      hostId: identity.hostId,
      startedAt: this.#startedAt,
      uptime: clock.monotonic() - this.#begun,
      options,
      health: this.#health,
      certificates: this.#certificates.status,
      store: this.#membership.storeStatus(options.store),
      plan: this.#controller.plan.value,
      activePlan: this.#controller.activePlan.value,
      configProblems: this.#controller.configProblems,
      lease: this.#membership.leaseStatus(),
      dataPlane: this.#enforcer.dataPlane.report(),
      driftRepairs: this.#enforcer.driftRepairs(),
      recentRepairs: this.#events.newest('drift-repaired', 5),
      peers: this.#controller.peers.status(this.#membership.rejected),
      firewall: this.#enforcer.firewallState,
      subnetFileWritten: this.#enforcer.subnetFile.state.value.ok,
    });
  }

  async #resync(): Promise<ResyncResult> {
    const { inSync, writes, failures } = await this.#enforcer.dataPlane.resync('asked for');
    return { inSync, writes, failures: [...failures] };
  }

  /** Leaves the network first: nobody renews or takes a lease while it is given back. Then the agent stops. */
  async #releaseLease(): Promise<ReleaseResult> {
    const { connected, error } = this.#store.contact.value;
    if (connected === false && error !== undefined) throw error;
    this.#leave.abort();
    try {
      await this.#left;
      const released = await this.#membership.release();
      this.#events.add('info', 'lease-released', 'the lease was given back on request; the agent stops');
      return released === undefined ? {} : { released };
    } finally {
      // The answer goes out before the server closes.
      setImmediate(() => this.#stop.abort());
    }
  }

  async #tryToRelease(): Promise<void> {
    try {
      await this.#membership.release();
    } catch (error) {
      const text = `the lease could not be given back and ends by itself: ${messageOf(error)}`;
      this.#events.add('warning', 'lease-kept', text);
    }
  }
}

/** Something that was given when the agent was started does not count, or not as it stands. */
function optionWarning(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'OPTION_QUESTIONABLE',
    severity: 'info',
    title: 'the agent was given an option that does not count as it stands',
    text: formatProblem(problem),
  };
}

/** A part deals with what can fail. Should it fail all the same, nobody knows the state of the others. */
async function runPart(work: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) return;
    queueMicrotask(() => {
      throw error;
    });
  }
}

function certificateFiles({ store, metrics }: AgentOptions): string[] {
  const { caFile, certFile, certificates = [] } = store;
  const files = [caFile, certFile, ...certificates, metrics?.tls?.certFile, metrics?.tls?.caFile];
  return [...new Set(files.filter(file => file !== undefined))];
}
