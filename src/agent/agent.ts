/**
 * The composition root of the daemon: builds the parts, joins them, and waits for the end.
 *
 *     store ── CachedStore ──> Network ──> Health, EventLog ──> API, readyz, metrics, systemd
 *
 * A failure in the world around it does not end it: it is a condition with a reason, and is tried again. An error that
 * no part foresaw ends the process with a report: it is started again and adopts what it finds in the kernel.
 */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { ReleaseResult, ResyncResult } from '../api/messages.ts';
import type { KnownPeer } from '../api/peer/peers.ts';
import type { Status } from '../api/status.ts';
import { createBackend } from '../backend/registry.ts';
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { formatProblem, messageOf, type Problem } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { mapFamilies } from '../base/per-family.ts';
import { packageVersion } from '../base/version.ts';
import { filesBeside } from '../console/defaults.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { AttachingConnections } from '../network/attachment/open-attachments.ts';
import type { FastPathChoice } from '../network/fastpath/network-fast-path.ts';
import { Network } from '../network/network.ts';
import type { OwnedWarning } from '../network/reports.ts';
import { followTunnels } from '../network/tunnel/follow.ts';
import { openTunnels } from '../network/tunnel/open-tunnels.ts';
import type { Tunnels } from '../network/tunnel/tunnels.ts';
import { isForeignTo } from '../network/underlay.ts';
import type { DockerPlugin } from '../plugin/docker/docker-plugin.ts';
import { CachedStore } from '../store/cached-store.ts';
import type { EtcdStore } from '../store/etcd/etcd-store.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import { Registry } from '../subnet/registry.ts';
import { SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import type { Netns } from '../sys/netns.ts';
import { ServiceManager } from '../sys/notify.ts';
import type { PassedSockets } from '../sys/socket-activation.ts';
import { CertificateWatch, certificateFiles } from './health/certificates.ts';
import { EventLog } from './health/event-log.ts';
import { Health } from './health/health.ts';
import { statusDocument, storeStatus } from './health/status-document.ts';
import { StoreContact } from './health/store-contact.ts';
import type { AgentOptions } from './options/options.ts';
import { ContainerPlugins } from './servers/container-plugins.ts';
import { openDockerPlugin } from './servers/docker-plugin.ts';
import type { PeerApi } from './servers/peer/peer-api.ts';
import type { PeerApiChoice } from './servers/peer-api-choice.ts';
import { openApi, serveHealth, serveMetrics } from './servers/servers.ts';
import { informServiceManager } from './servers/service-manager.ts';
import { keepIdentity } from './state/keep-identity.ts';
import {
  commandRecordFile,
  type KnownState,
  type KnownStateFile,
  lastRunOf,
  type WriteTime,
} from './state/known-state.ts';
import type { Identity } from './state/state-directory.ts';
import type { OpenTunnelFile } from './state/tunnel-file.ts';

/** The program that this is a part of. */
const PROGRAM = fileURLToPath(new URL('../../bin/tulle', import.meta.url));

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
  readonly attaching: AttachingConnections;
  /** The subnet of the last run. */
  readonly previous: Subnet | undefined;
  readonly tunnels: OpenTunnelFile;
  readonly peerApi: PeerApiChoice;
  readonly fastPath: FastPathChoice;
  /** What a service manager holds for this process. */
  readonly passed: PassedSockets;
}

export class Agent {
  readonly #parts: AgentParts;
  /** On the wall clock and on the monotonic one. */
  readonly #started: { readonly at: number; readonly monotonic: number };
  /** What the last run knew. */
  readonly #former: Pick<KnownState, 'config' | 'leaving'>;
  readonly #events: EventLog;
  readonly #health: Health;
  readonly #store: CachedStore;
  readonly #contact: StoreContact;
  readonly #certificates: CertificateWatch;
  readonly #network: Network;
  /** Absent where other hosts get no answer. */
  readonly #peerApi: PeerApi | undefined;
  readonly #tunnels: Tunnels;
  /** Absent where it is off, and before `run`. */
  #dockerPlugin: DockerPlugin | undefined;
  readonly #stop = new AbortController();

  /** @param known what the last run knew; nothing of it is kept as it is. */
  constructor(parts: AgentParts, known: KnownState) {
    const { options, clock, logger } = parts;
    this.#parts = parts;
    this.#started = { at: clock.now(), monotonic: clock.monotonic() };
    this.#former = defined({ config: known.config, leaving: known.leaving });
    this.#events = new EventLog({ clock, logger });
    this.#health = new Health(clock, this.#events);
    this.#health.warn('options', [...options.warnings, ...parts.passed.problems].map(optionWarning));
    const shared = { ...parts, health: this.#health, events: this.#events };
    this.#store = new CachedStore(parts.etcd, { cached: known.keys, onChange: () => this.#remember() });
    this.#contact = new StoreContact({
      ...shared,
      store: this.#store,
      onAnswer: () => this.#network.storeAnswers(),
    });
    this.#certificates = new CertificateWatch({ ...shared, files: certificateFiles(options) });
    const recordFile = commandRecordFile(options.stateDirectory, options.store.prefix);
    this.#network = new Network({
      ...shared,
      options: {
        ...options,
        ...(options.allowExtension && { extension: { recordFile } }),
        ...defined({ peerApiPort: parts.peerApi.port }),
      },
      registry: new Registry(this.#store, { prefix: options.store.prefix }),
      segmentRegistry: new SegmentRegistry(this.#store, { prefix: options.store.prefix }),
      cachedKeys: () => this.#store.cached(),
      saveKeys: () => parts.knownFile.save(),
      createBackend,
      forwarderFiles: { program: PROGRAM, ...filesBeside(options.socketPath) },
      former: lastRunOf(known, parts.previous),
    });
    this.#peerApi = parts.peerApi.open?.({
      ...shared,
      inspector: { program: PROGRAM, socketPath: options.socketPath },
      plan: this.#network.plan,
      status: () => this.#status(),
      peers: () => Array.from(this.#network.peerLeases(), knownPeer),
    });
    const { storage, kept } = parts.tunnels;
    const { dataPlane } = this.#network;
    const reserved = () => this.#network.vnis;
    this.#tunnels = openTunnels({ ...parts, dataPlane, storage, kept: 'agent', reserved }, kept);
  }

  async run(outside: AbortSignal): Promise<void> {
    const { options, clock, logger, knownFile, identity, rtnetlink } = this.#parts;
    const signal = AbortSignal.any([outside, this.#stop.signal]);
    await using network = this.#network;
    const health = this.#health;
    const tunnels = this.#tunnels;
    const { dataPlane } = network;
    const { attachments } = network;
    const servers = { options, health, clock, logger };
    const plugins = new ContainerPlugins({ options, attachments, rtnetlink, logger });
    const serveApi = await openApi(servers, {
      status: () => this.#status(),
      forwarder: () => this.#network.traffic(),
      resync: () => this.#resync(),
      releaseLease: () => this.#releaseLease(),
      tunnels,
      networks: this.#network.segments,
      ports: this.#network,
      names: this.#network.names,
      plugins,
      events: this.#events,
    });
    signal.addEventListener('abort', () => health.stopping(), { once: true });
    const passed = this.#parts.passed.sockets;
    this.#dockerPlugin = await openDockerPlugin({ ...servers, network, passed });
    const version = packageVersion();
    this.#events.add('info', 'start', `tulle ${version} starts`, { version, pid: process.pid });

    const keep = (work: (signal: AbortSignal) => Promise<void>) => runPart(work, signal);
    const manager = ServiceManager.fromEnvironment(process.env, process.pid);
    await Promise.all([
      keep(until => network.run(until)),
      keep(until => followTunnels({ tunnels, rtnetlink, dataPlane, health, clock, logger }, until)),
      keep(serveApi),
      keep(until => plugins.run(until)),
      keep(until => this.#contact.run(until)),
      keep(until => this.#certificates.run(until)),
      keep(until => this.#followHost(until)),
      keep(until => network.followUsed(() => this.#remember('at once'), until)),
      keep(until => knownFile.run(until)),
      keep(until => keepIdentity({ identity, knownFile, used: network.plan, health, clock }, until)),
      keep(until => serveHealth(servers, until)),
      this.#peerApi && keep(until => this.#peerApi?.run(until) ?? Promise.resolve()),
      this.#dockerPlugin && keep(until => this.#dockerPlugin?.run(until) ?? Promise.resolve()),
      keep(until => serveMetrics(servers, () => this.#status(), until)),
      manager && keep(until => informServiceManager(manager, health, clock, until)),
    ]);
    if (options.lease.releaseOnStop) await this.#tryToRelease();
    this.#events.add('info', 'stop', 'the agent stops; the data plane stays as it is');
  }

  /** Connections to the store from an address that this host has no more are given up. */
  async #followHost(signal: AbortSignal): Promise<void> {
    for await (const host of this.#network.host.changes(signal)) {
      if (host !== undefined) this.#parts.etcd.leaveAddress(isForeignTo(host));
    }
  }

  /** The configuration in use, for the next run; until there is one, that of the last run. */
  #remember(when?: WriteTime): void {
    this.#parts.knownFile.changed(() => {
      const { devices, ...texts } = this.#network.used;
      const configs = texts.config === undefined ? this.#former : defined(texts);
      return { keys: this.#store.cached(), devices, ...configs };
    }, when);
  }

  async #status(): Promise<Status> {
    const { options, clock, identity } = this.#parts;
    const overlay = await this.#network.status();
    return statusDocument({
      hostId: identity.hostId,
      startedAt: this.#started.at,
      uptime: clock.monotonic() - this.#started.monotonic,
      health: this.#health,
      certificates: this.#certificates.status,
      store: storeStatus(this.#store, options.store, this.#contact.since),
      overlay,
      peerApi: this.#peerApi?.status ?? { listening: [], ...defined({ reason: this.#parts.peerApi.reason }) },
      resolver: this.#network.resolver.report(),
      l2Networks: this.#network.segments.status(),
      dockerNetworks: this.#dockerPlugin?.status() ?? [],
      recentRepairs: this.#events.newest('drift-repaired', 5),
    });
  }

  async #resync(): Promise<ResyncResult> {
    const { inSync, writes, failures } = await this.#network.resync('asked for');
    return { inSync, writes, failures: [...failures] };
  }

  /** The agent stops then: it would take a lease again. */
  async #releaseLease(): Promise<ReleaseResult> {
    const { connected, error } = this.#store.contact.value;
    if (connected === false && error !== undefined) throw error;
    try {
      const released = await this.#network.leave();
      this.#events.add('info', 'lease-released', 'the lease was released on request; the agent stops');
      return released === undefined ? {} : { released };
    } finally {
      // The answer goes out before the server closes.
      setImmediate(() => this.#stop.abort());
    }
  }

  async #tryToRelease(): Promise<void> {
    try {
      await this.#network.leave();
    } catch (error) {
      const text = `the lease could not be released and will expire: ${messageOf(error)}`;
      this.#events.add('warning', 'lease-kept', text);
    }
  }
}

/** A peer as it may be asked by other hosts. */
function knownPeer({ key, subnet, attributes }: Lease): KnownPeer {
  const { hostId, hostName, publicIp, peerApiPort: port } = attributes;
  const peerApi = port === undefined ? undefined : { port };
  const blocks = { subnet: mapFamilies(subnet, String), publicIp: mapFamilies(publicIp, String) };
  return { key, ...blocks, ...defined({ hostId, hostName, peerApi }) };
}

/** Something that was given when the agent was started does not count, or not as it stands. */
function optionWarning(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'OPTION_QUESTIONABLE',
    severity: 'info',
    title: 'an option of the agent does not have the effect that it seems to have',
    text: formatProblem(problem),
  };
}

/** A part deals with the failures it knows. After any other the state of the parts is unknown, and the process ends. */
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
