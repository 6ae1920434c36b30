/** What a network on this host is in the status document: read from its parts on request, and not kept. */
import type { FirewallStatus } from '../api/firewall-status.ts';
import type {
  BackendStatus,
  DataPlaneStatus,
  LeaseReport,
  NetworkStatus,
  Status,
  UnderlayStatus,
} from '../api/status.ts';
import type { Problem } from '../base/errors.ts';
import { mapFamilies } from '../base/per-family.ts';
import type { DataPlaneReport } from '../dataplane/report.ts';
import type { FirewallState } from '../firewall/reconciler.ts';
import type { RefusedSenders } from '../firewall/senders/policy.ts';
import type { FamilyConfig } from '../subnet/config/config.ts';
import type { RejectedLease } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import type { HostPlan } from './host-plan.ts';
import type { FirewallPolicy, NetworkOptions } from './options.ts';
import type { Overlay } from './overlay.ts';
import type { HostNetwork } from './underlay.ts';

/** The part of the status document that a network fills in. */
export type OverlayStatus = Pick<
  Status,
  'underlay' | 'network' | 'lease' | 'backend' | 'peers' | 'firewall' | 'fastPath' | 'subnetFile'
> & { readonly dataplane: Omit<DataPlaneStatus, 'recentRepairs'> };

export function overlayStatus(
  overlay: Overlay,
  options: NetworkOptions,
  lease: LeaseReport | undefined,
  rejected: Iterable<RejectedLease>,
  host: HostNetwork | undefined,
): OverlayStatus {
  const plan = overlay.plan.value;
  const active = overlay.active.value;
  const { dataPlane, firewall, subnetFile } = overlay.targets;
  const report = dataPlane.report();
  return {
    ...(plan === undefined ? {} : { underlay: underlayStatus(plan, host) }),
    network: networkStatus(plan, overlay.configProblems),
    ...(lease === undefined ? {} : { lease }),
    ...(active === undefined ? {} : { backend: backendStatus(active, report) }),
    dataplane: dataPlaneStatus(report, overlay.driftRepairs()),
    peers: overlay.peers.status(rejected, link => overlay.targets.forwarder.obstacle(link)),
    firewall: firewallStatus(firewall.state, options.firewall, overlay.targets.senders.refused()),
    ...(subnetFile.state.value.ok ? { subnetFile: subnetFile.path } : {}),
  };
}

/** @param host this host at present, which the plan need not have followed */
function underlayStatus({ underlay, chosenBy }: HostPlan, host: HostNetwork | undefined): UnderlayStatus {
  const { link, ip, publicIp } = underlay;
  const currentMtu = host?.links.find(({ index }) => index === link.index)?.mtu;
  return {
    link: { ...link, ...(currentMtu === undefined || currentMtu === link.mtu ? {} : { currentMtu }) },
    ip: mapFamilies(ip, String),
    publicIp: mapFamilies(publicIp, String),
    chosenBy,
  };
}

function networkStatus(plan: HostPlan | undefined, problems: readonly Problem[]): NetworkStatus {
  const config = plan?.config;
  return {
    ...(config && { config: { ...mapFamilies(config, familyStatus), backendType: config.backend.type } }),
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
function backendStatus({ plan, host }: ActivePlan, { links }: DataPlaneReport): BackendStatus {
  const { backend } = plan;
  return {
    type: backend.type,
    overlayMtu: backend.overlayMtu,
    mtuParts: [...backend.mtuParts],
    devices: host.links.map(({ name, kind }) => {
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

function dataPlaneStatus(
  { inSync, wanted, failed, writes, lastResync, lastError }: DataPlaneReport,
  driftRepairs: Record<string, number>,
): OverlayStatus['dataplane'] {
  return {
    inSync,
    wanted,
    failed,
    writes,
    ...(lastResync && { lastResync: new Date(lastResync.at).toISOString() }),
    driftRepairs,
    ...(lastError === undefined ? {} : { lastError }),
  };
}

function firewallStatus(
  state: FirewallState,
  wanted: FirewallPolicy,
  refused: RefusedSenders | undefined,
): FirewallStatus {
  return {
    masquerade: wanted.masquerade,
    forward: wanted.forward,
    ...(state.engine === undefined ? {} : { mode: state.engine }),
    ok: state.ok,
    ...(state.lastError === undefined ? {} : { lastError: state.lastError }),
    ...(refused && { refused: { ...refused, recent: refused.recent.map(String) } }),
  };
}
