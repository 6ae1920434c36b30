/** The hosts of a cluster from one of them: what `tulle status --all-hosts` says of each. */
import { askAllHosts, type PeerAnswer } from '../api/peer/cluster-status.ts';
import { CredentialReader, joinedFiles } from '../api/peer/credentials.ts';
import { nameOfPeer } from '../api/peer/peers.ts';
import { containersCanTalk, type PeerStatus, type Status, type Warning } from '../api/status.ts';
import { valuesOf } from '../base/per-family.ts';
import { agentPaths } from '../console/defaults.ts';
import { worstHealth } from './peer-health-text.ts';

/** Milliseconds for each host; all are asked at once. */
const PATIENCE = 4000;

/** A host of the cluster as `--json` prints it. */
export interface HostSummary {
  readonly host: string;
  readonly hostId?: string;
  /** Public addresses. */
  readonly addresses: readonly string[];
  readonly subnets: readonly string[];
  /** That of the agent; `unknown` for a host that was not asked or did not answer. */
  readonly state: Status['agent']['state'] | 'unknown';
  /** As far as it is known, containers of it can talk. */
  readonly ok: boolean;
  /** Peers of that host, and those that are in order there and answer it, as far as it has asked them. */
  readonly peers?: { readonly ok: number; readonly all: number };
  /** What needs attention there most. */
  readonly worst?: Pick<Warning, 'code' | 'severity' | 'title'>;
  /** Host that it was asked through, because it is not reached from here. */
  readonly via?: string;
  /** Why nothing is known of it. */
  readonly reason?: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** This host first, then the others by name. @throws `signal.reason` */
export async function clusterSummary(own: Status, signal: AbortSignal): Promise<HostSummary[]> {
  const files = own.peerApi?.files ?? joinedFiles(agentPaths(own.store.prefix).stateDirectory);
  const answers = await askAllHosts(own.peers, new CredentialReader(files), PATIENCE, signal);
  const others = answers.map(answer => summaryOf(answer));
  return [ofStatus(own), ...others.sort((a, b) => a.host.localeCompare(b.host, 'en', { numeric: true }))];
}

function summaryOf(answer: PeerAnswer): HostSummary {
  const { peer, status } = answer;
  if (status !== undefined) {
    return { ...ofStatus(status), ...(answer.via !== undefined && { via: answer.via }) };
  }
  const { code, message, hint } = answer.reason;
  const { hostId, publicIp, subnet } = peer;
  return {
    host: nameOfPeer(peer),
    ...(hostId !== undefined && { hostId }),
    addresses: valuesOf<string>(publicIp),
    subnets: valuesOf<string>(subnet),
    state: 'unknown',
    // A host of flannel's has nothing to say, and nothing is wrong with that.
    ok: hostId === undefined,
    reason: { code, message, ...(hint !== undefined && { hint }) },
  };
}

function ofStatus(status: Status): HostSummary {
  const { host, agent, lease, underlay, peers } = status;
  const worst = worstOf(status);
  return {
    host: host.name,
    hostId: host.id,
    addresses: valuesOf<string>(underlay?.publicIp ?? {}),
    subnets: valuesOf<string>(lease?.subnet ?? {}),
    state: agent.state,
    ok: containersCanTalk(status),
    peers: { ok: peers.filter(isFine).length, all: peers.length },
    ...(worst && { worst }),
  };
}

const isFine = (peer: PeerStatus) =>
  peer.state === 'ok' && (worstHealth(peer)?.state ?? 'answers') === 'answers';

const SEVERITIES = ['error', 'warning'] as const;

function worstOf({ warnings, conditions, agent }: Status): HostSummary['worst'] {
  for (const severity of SEVERITIES) {
    const found = warnings.find(one => one.severity === severity);
    if (found !== undefined) return { code: found.code, severity, title: found.title };
    const failing = conditions.find(({ ok, required }) => !ok && required === (severity === 'error'));
    if (failing !== undefined) {
      return {
        code: failing.code ?? 'UNKNOWN',
        severity,
        title: failing.reason ?? agent.reason ?? failing.name,
      };
    }
  }
  return undefined;
}
