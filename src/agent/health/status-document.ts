/** Puts the status document together: every part is read on request, and nothing is kept. */
import { hostname } from 'node:os';
import process from 'node:process';
import type { AgentEvent } from '../../api/messages.ts';
import type { ResolverReport } from '../../api/names.ts';
import type { DockerNetworkStatus, L2NetworkStatus } from '../../api/networks.ts';
import type { CertificateStatus, PeerApiStatus, Status, StoreStatus } from '../../api/status.ts';
import { defined } from '../../base/defined.ts';
import { packageVersion } from '../../base/version.ts';
import type { OverlayStatus } from '../../network/overlay-status.ts';
import type { CachedStore } from '../../store/cached-store.ts';
import type { AgentOptions } from '../options/options.ts';
import type { Health } from './health.ts';

/** What the parts of the agent answer at this moment. */
export interface StatusSources {
  readonly hostId: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Milliseconds by a clock that does not jump. */
  readonly uptime: number;
  readonly health: Health;
  readonly store: StoreStatus;
  readonly certificates: CertificateStatus[];
  readonly overlay: OverlayStatus;
  readonly peerApi: PeerApiStatus;
  readonly resolver: ResolverReport;
  readonly l2Networks: L2NetworkStatus[];
  readonly dockerNetworks: DockerNetworkStatus[];
  /** Events of the last repairs, newest first. */
  readonly recentRepairs: readonly AgentEvent[];
}

export function statusDocument(sources: StatusSources): Status {
  const { health, overlay, certificates, l2Networks, dockerNetworks, peerApi, resolver } = sources;
  const recentRepairs = sources.recentRepairs.map(({ time, text }) => ({ time, text }));
  return {
    apiVersion: 1,
    version: packageVersion(),
    host: { id: sources.hostId, name: hostname() },
    pid: process.pid,
    startedAt: isoTime(sources.startedAt),
    uptimeSeconds: Math.floor(sources.uptime / 1000),
    agent: health.summary.value,
    conditions: [...health.conditions()],
    store: sources.store,
    ...(certificates.length === 0 ? {} : { certificates }),
    ...overlay,
    dataplane: { ...overlay.dataplane, recentRepairs },
    ...(l2Networks.length === 0 ? {} : { l2Networks }),
    ...(dockerNetworks.length === 0 ? {} : { dockerNetworks }),
    peerApi,
    resolver,
    warnings: [...health.warnings()],
  };
}

/** @param way how the agent reaches the store; what is secret in it stays here. @param since of the last contact or loss */
export function storeStatus(store: CachedStore, way: AgentOptions['store'], since: number): StoreStatus {
  const { endpoints, prefix, caFile, certFile, keyFile, username } = way;
  const { connected, error, revision } = store.contact.value;
  return {
    endpoints: [...endpoints],
    prefix,
    ...defined({ caFile, certFile, keyFile, username }),
    connected: connected === true,
    since: isoTime(since),
    ...(error === undefined ? {} : { lastError: error.message }),
    ...(revision === 0n ? {} : { revision: String(revision) }),
    cached: store.stale,
  };
}

const isoTime = (ms: number) => new Date(ms).toISOString();
