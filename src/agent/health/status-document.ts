/** Puts the status document together: every part is asked when somebody wants to know, and nothing is kept. */
import { hostname } from 'node:os';
import process from 'node:process';
import type { AgentEvent } from '../../api/messages.ts';
import type {
  BackendStatus,
  CertificateStatus,
  DataPlaneStatus,
  FirewallStatus,
  LeaseReport,
  NetworkStatus,
  PeerStatus,
  Status,
  StoreStatus,
  UnderlayStatus,
} from '../../api/status.ts';
import type { Problem } from '../../base/errors.ts';
import type { DataPlaneReport } from '../../dataplane/report.ts';
import type { FirewallState } from '../../firewall/reconciler.ts';
import type { ActivePlan } from '../../network/active-plan.ts';
import type { HostPlan } from '../../network/host-plan.ts';
import type { FamilyConfig } from '../../subnet/config/config.ts';
import type { AgentOptions } from '../options/options.ts';
import type { Health } from './health.ts';

/** What the parts of the agent answer at this moment. */
export interface StatusSources {
  readonly version: string;
  readonly hostId: string;
  readonly startedAt: number;
  /** Milliseconds by a clock that does not jump. */
  readonly uptime: number;
  readonly options: AgentOptions;
  readonly health: Health;
  readonly store: StoreStatus;
  readonly certificates: CertificateStatus[];
  readonly plan: HostPlan | undefined;
  readonly activePlan: ActivePlan | undefined;
  readonly configProblems: readonly Problem[];
  readonly lease: LeaseReport | undefined;
  readonly dataPlane: DataPlaneReport;
  readonly driftRepairs: Record<string, number>;
  /** Events of the last repairs, newest first. */
  readonly recentRepairs: readonly AgentEvent[];
  readonly peers: PeerStatus[];
  readonly firewall: FirewallState;
  readonly subnetFileWritten: boolean;
}

export function statusDocument(sources: StatusSources): Status {
  const { health, plan, activePlan, options, lease } = sources;
  return {
    apiVersion: 1,
    version: sources.version,
    host: { id: sources.hostId, name: hostname() },
    pid: process.pid,
    startedAt: isoTime(sources.startedAt),
    uptimeSeconds: Math.floor(sources.uptime / 1000),
    agent: health.summary.value,
    conditions: [...health.conditions()],
    ...(plan === undefined ? {} : { underlay: underlayStatus(plan) }),
    store: sources.store,
    ...(sources.certificates.length === 0 ? {} : { certificates: sources.certificates }),
    network: networkStatus(plan, sources.configProblems),
    ...(lease === undefined ? {} : { lease }),
    ...(activePlan === undefined ? {} : { backend: backendStatus(activePlan, sources.dataPlane) }),
    dataplane: dataPlaneStatus(sources),
    peers: sources.peers,
    firewall: firewallStatus(sources.firewall, options.firewall),
    ...(sources.subnetFileWritten ? { subnetFile: options.lease.subnetFile } : {}),
    warnings: [...health.warnings()],
  };
}

export const isoTime = (ms: number) => new Date(ms).toISOString();

function underlayStatus({ underlay, chosenBy }: HostPlan): UnderlayStatus {
  const { link, ipv4, ipv6, publicIpv4, publicIpv6 } = underlay;
  return {
    link,
    ...(ipv4 && { ipv4: ipv4.toString() }),
    ...(ipv6 && { ipv6: ipv6.toString() }),
    ...(publicIpv4 && { publicIpv4: publicIpv4.toString() }),
    ...(publicIpv6 && { publicIpv6: publicIpv6.toString() }),
    chosenBy,
  };
}

function networkStatus(plan: HostPlan | undefined, problems: readonly Problem[]): NetworkStatus {
  const config = plan?.config;
  return {
    ...(config && {
      config: {
        ...(config.ipv4 && { ipv4: familyStatus(config.ipv4) }),
        ...(config.ipv6 && { ipv6: familyStatus(config.ipv6) }),
        backendType: config.backend.type,
      },
    }),
    problems: problems.map(problem => ({ ...problem })),
  };
}

function familyStatus({ network, subnetLength, subnetMin, subnetMax }: FamilyConfig) {
  return {
    network: network.toString(),
    subnetLength,
    subnetMin: subnetMin.toString(),
    subnetMax: subnetMax.toString(),
  };
}

/** The devices as the kernel has them: only the names say what is wanted. */
function backendStatus({ plan, lease }: ActivePlan, { links }: DataPlaneReport): BackendStatus {
  const { backend } = plan;
  return {
    type: backend.type,
    overlayMtu: backend.overlayMtu,
    devices: backend.host(lease.subnet).links.map(({ name, kind }) => {
      const { mac, local, addresses, ...numbers } = links.find(link => link.name === name)?.actual ?? {};
      return {
        name,
        kind,
        ...numbers,
        ...(mac && { mac: mac.toString() }),
        ...(local && { local: local.toString() }),
        ...(addresses && { addresses: [...addresses] }),
      };
    }),
  };
}

function dataPlaneStatus({ dataPlane, driftRepairs, recentRepairs }: StatusSources): DataPlaneStatus {
  const { inSync, wanted, failed, writes, lastResync, lastError } = dataPlane;
  return {
    inSync,
    wanted,
    failed,
    writes,
    ...(lastResync && { lastResync: isoTime(lastResync.at) }),
    driftRepairs,
    recentRepairs: recentRepairs.map(({ time, text }) => ({ time, text })),
    ...(lastError === undefined ? {} : { lastError }),
  };
}

function firewallStatus(state: FirewallState, wanted: AgentOptions['firewall']): FirewallStatus {
  return {
    masquerade: wanted.masquerade,
    forward: wanted.forward,
    ...(state.engine === undefined ? {} : { mode: state.engine }),
    ok: state.ok,
    ...(state.lastError === undefined ? {} : { lastError: state.lastError }),
  };
}
