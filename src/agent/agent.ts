/**
 * The composition root of the daemon: builds the parts, joins them, and waits for the end.
 *
 *     kernel ── HostWatch ──┐
 *     store ─── Membership ─┴─> Controller ──> Enforcer ──> data plane, firewall, subnet.env
 *                   └──────────────┴─────────────┴──> Health ──> API, readyz, metrics, systemd
 *
 * Nothing that happens while it runs ends it: what fails is a condition with a reason, and is tried again.
 */
import { readFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import process from 'node:process';
import type { ReleaseResult, ResyncResult } from '../api/messages.ts';
import type { Status } from '../api/status.ts';
import { createBackend } from '../backend/registry.ts';
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { Latest } from '../base/latest.ts';
import type { Logger } from '../base/log.ts';
import { packageVersion } from '../base/version.ts';
import { openLog } from '../cli/daemon-log.ts';
import { connectRoute } from '../netlink/connect-route.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { RememberingStore } from '../store/remembering.ts';
import type { Store } from '../store/store.ts';
import { blocksOf, type Subnet } from '../subnet/lease.ts';
import { Registry } from '../subnet/registry.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';
import { releaseMemory } from '../sys/memory.ts';
import { Netns } from '../sys/netns.ts';
import { ServiceManager } from '../sys/notify.ts';
import { ApiServer } from './api-server.ts';
import { Controller } from './controller.ts';
import { Enforcer } from './enforcer.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';
import { healthListener, metricsListener, TcpServer } from './health-server.ts';
import { HostWatch } from './host-watch.ts';
import { keepRunning } from './keep-running.ts';
import { type KnownState, KnownStateFile } from './known-state.ts';
import { Membership } from './membership.ts';
import type { AgentOptions, ListenAddress, MetricsTls } from './options.ts';
import { informServiceManager } from './service.ts';
import { Identity } from './state-directory.ts';
import { statusDocument } from './status-document.ts';

/**
 * Runs the agent of the calling thread's network namespace until `signal` aborts.
 *
 * @throws ApiServerError when an agent answers at the socket already; ConfigError for files that are named in the
 *   options and cannot be used.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const clock = systemClock;
  const logger = openLog(options.verbosity);
  const { endpoints, prefix, username, password, caFile, certFile, keyFile } = options.store;
  await using etcd = new EtcdStore({
    endpoints,
    tls: {
      ...(caFile === undefined ? {} : { caFile }),
      ...(certFile === undefined ? {} : { certFile }),
      ...(keyFile === undefined ? {} : { keyFile }),
    },
    ...(username === undefined || password === undefined ? {} : { user: { name: username, password } }),
    logger,
  });
  const knownFile = new KnownStateFile(options.stateDirectory, prefix, clock);
  const known = (await knownFile.load()) ?? { keys: [], devices: [] };
  const identity = await Identity.open(options.stateDirectory);
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  const { subnet } = parseSubnetEnv(await readIfAny(options.lease.subnetFile));
  const previous = blocksOf(subnet).length > 0 ? subnet : undefined;
  await new Agent({
    options,
    clock,
    logger,
    etcd,
    knownFile,
    known,
    identity,
    netns,
    rtnetlink,
    previous,
  }).run(signal);
}

/** Milliseconds from some work to the collection of its garbage; in between there may be more of it. */
const QUIET = 5_000;

interface Parts {
  readonly options: AgentOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly etcd: Store;
  readonly knownFile: KnownStateFile;
  /** What the last run knew. */
  readonly known: KnownState;
  readonly identity: Identity;
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  /** The subnet of the last run. */
  readonly previous: Subnet | undefined;
}

class Agent {
  readonly #parts: Parts;
  readonly #startedAt: number;
  readonly #events: EventLog;
  readonly #health: Health;
  readonly #store: RememberingStore;
  readonly #hostWatch: HostWatch;
  readonly #enforcer: Enforcer;
  readonly #controller: Controller;
  readonly #membership: Membership;
  readonly #stop = new AbortController();
  readonly #leave = new AbortController();
  /** Grows with everything that leaves garbage behind. */
  readonly #work = new Latest(0);
  /** Settles when this host takes no part in the registry any more. */
  #left: Promise<void> = Promise.resolve();

  constructor(parts: Parts) {
    const { options, clock, logger, known, identity, rtnetlink, previous } = parts;
    this.#parts = parts;
    this.#startedAt = clock.now();
    this.#events = new EventLog({ clock, logger });
    this.#health = new Health(clock, this.#events);
    const shared = { options, clock, logger, health: this.#health, events: this.#events };
    const remember = () => this.#remember();
    this.#store = new RememberingStore(parts.etcd, { remembered: known.keys, onChange: remember });
    this.#hostWatch = new HostWatch({ ...shared, rtnetlink, criteria: options.underlay });
    const onRound = () => this.#worked();
    this.#enforcer = new Enforcer({
      ...shared,
      rtnetlink,
      netns: parts.netns,
      identity,
      formerDevices: known.devices,
      onRound,
      onDevices: remember,
    });
    const { dataPlane } = this.#enforcer;
    this.#controller = new Controller({ ...shared, identity, dataPlane, createBackend });
    this.#membership = new Membership({
      ...shared,
      store: this.#store,
      registry: new Registry(this.#store, { prefix: options.store.prefix }),
      controller: this.#controller,
      hostId: identity.hostId,
      renewMargin: options.lease.renewMarginMinutes * 60_000,
      ...(previous === undefined ? {} : { previous }),
    });
  }

  async run(outside: AbortSignal): Promise<void> {
    const { options, clock, logger, knownFile } = this.#parts;
    const signal = AbortSignal.any([outside, this.#stop.signal]);
    await using _enforcer = this.#enforcer;
    await using _api = await ApiServer.open(options.socketPath, {
      status: () => this.#status(),
      resync: () => this.#resync(),
      releaseLease: () => this.#releaseLease(),
      events: this.#events,
    });
    signal.addEventListener('abort', () => this.#health.stopping(), { once: true });
    const version = packageVersion();
    this.#events.add('info', 'start', `tulle ${version} starts`, { version, pid: process.pid });

    const keep = (name: string, work: (signal: AbortSignal) => Promise<void>, until = signal) =>
      keepRunning(name, work, { signal: until, clock, logger });
    const taking = AbortSignal.any([signal, this.#leave.signal]);
    this.#left = keep('membership', until => this.#membership.run(until), taking);
    const manager = ServiceManager.fromEnvironment(process.env, process.pid);
    await Promise.all([
      this.#left,
      keep('host watch', until => this.#hostWatch.run(until)),
      keep('host network', until => this.#followNetwork(until)),
      keep('enforcer', until => this.#enforcer.run(this.#controller, until)),
      keep('known state', until => knownFile.run(until)),
      keep('state directory', until => this.#keepIdentity(until)),
      keep('health server', until => this.#serveHealth(until)),
      keep('metrics server', until => this.#serveMetrics(until)),
      keep('memory', until => this.#releaseMemory(until)),
      manager && keep('service manager', until => informServiceManager(manager, this.#health, until)),
    ]);
    if (options.lease.releaseOnStop) await this.#tryToRelease();
    this.#events.add('info', 'stop', 'the agent stops; the data plane stays as it is');
  }

  async #followNetwork(signal: AbortSignal): Promise<void> {
    for await (const network of this.#hostWatch.network.changes(signal)) {
      if (network !== undefined) this.#controller.setNetwork(network);
    }
  }

  /** Saves the identity whenever a plan has used a new part of it, and tries again while the disk refuses. */
  async #keepIdentity(signal: AbortSignal): Promise<void> {
    const { identity, clock, knownFile } = this.#parts;
    const report = () => this.#health.report('state', identity.trouble ?? knownFile.trouble.value);
    const saving = async () => {
      for await (const _ of this.#controller.plan.changes(signal)) {
        for (const delay of backoff(5000, 300_000)) {
          await identity.save();
          report();
          if (identity.trouble === undefined || signal.aborted) break;
          await clock.sleep(delay, signal).catch(() => undefined);
        }
      }
    };
    const watching = async () => {
      for await (const _ of knownFile.trouble.changes(signal)) report();
    };
    await Promise.all([saving(), watching()]);
  }

  async #serveHealth(signal: AbortSignal): Promise<void> {
    const { health } = this.#parts.options;
    if (health === undefined) return;
    await this.#serveTcp('health', health, healthListener(this.#health), signal);
  }

  async #serveMetrics(signal: AbortSignal): Promise<void> {
    const { metrics } = this.#parts.options;
    if (metrics === undefined) return;
    // Loaded only where it is wanted: it costs memory on every host.
    const { exposeMetrics } = await import('./metrics.ts');
    const listener = metricsListener(() => exposeMetrics(this.#status()));
    await this.#serveTcp('metrics', metrics, listener, signal);
  }

  /** A port that is taken is a warning, and tried again. */
  async #serveTcp(
    name: string,
    listen: ListenAddress & { readonly tls?: MetricsTls },
    listener: RequestListener,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#parts;
    for (const delay of backoff(1000, 60_000)) {
      try {
        await using _server = await TcpServer.open(listen, listener, listen.tls);
        this.#health.warn(name, []);
        return await aborted(signal);
      } catch (error) {
        const where = `${listen.host} port ${listen.port}`;
        const title = `the ${name} server cannot listen at ${where}`;
        const severity = 'warning';
        this.#health.warn(name, [
          { id: 'listen', code: 'CANNOT_LISTEN', severity, title, text: messageOf(error) },
        ]);
        await clock.sleep(delay, signal).catch(() => undefined);
        if (signal.aborted) return;
      }
    }
  }

  /** What a burst of work needed is given back when it is over. */
  async #releaseMemory(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#work.changes(signal)) {
      await this.#parts.clock.sleep(QUIET, signal).catch(() => undefined);
      if (!signal.aborted) releaseMemory();
    }
  }

  #remember(): void {
    this.#parts.knownFile.changed(() => ({
      keys: this.#store.remembered(),
      devices: this.#enforcer.devices,
    }));
  }

  #worked(): void {
    this.#work.set(this.#work.value + 1);
  }

  #status(): Status {
    this.#worked();
    this.#enforcer.checkForwarding();
    const { options, clock, identity } = this.#parts;
    const { endpoints, prefix } = options.store;
    return statusDocument({
      version: packageVersion(),
      hostId: identity.hostId,
      startedAt: this.#startedAt,
      now: clock.now(),
      options,
      health: this.#health,
      store: this.#membership.storeStatus(endpoints, prefix),
      plan: this.#controller.plan.value,
      outcome: this.#controller.outcome.value,
      configProblems: this.#membership.configProblems,
      lease: this.#membership.leaseStatus(),
      dataPlane: this.#enforcer.dataPlane.report(),
      peers: this.#controller.peers.status(this.#membership.rejected),
      firewall: this.#enforcer.firewallState,
      subnetFileWritten: this.#enforcer.subnetFile.state.value.ok,
    });
  }

  async #resync(): Promise<ResyncResult> {
    const { inSync, writes, failures } = await this.#enforcer.dataPlane.resync('asked for');
    return { inSync, writes, failures: [...failures] };
  }

  /** Leaves the network first: nobody renews or takes a lease while it is given back. */
  async #releaseLease(): Promise<ReleaseResult> {
    this.#leave.abort();
    await this.#left;
    const released = await this.#membership.release();
    this.#events.add('info', 'lease-released', 'the lease was given back on request; the agent stops');
    // The answer goes out before the server closes.
    setImmediate(() => this.#stop.abort());
    return released === undefined ? {} : { released };
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

const readIfAny = (path: string) => readFile(path, 'utf8').catch(() => '');

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
