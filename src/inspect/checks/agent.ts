/** The agent of this host, and what it says of itself: its conditions and warnings keep their codes. */
import { readFileSync } from 'node:fs';
import type { ApiError } from '../../api/client.ts';
import type { FindingLayer } from '../../api/inspection.ts';
import type { Condition, PeerStatus, Status, Warning } from '../../api/status.ts';
import { isCode } from '../../base/errors.ts';
import { isStopped, processesWith } from '../../sys/process-search.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE } from './check.ts';

export async function checkAgent(host: HostReader): Promise<Cause[]> {
  const { status, error } = await host.agent();
  if (error !== undefined) return isCode(error, 'PROTOCOL', 'REFUSED') ? [] : silenceCauses(error, agents());
  return stateCauses(status, Date.now());
}

/** A process that is an agent by what it was started with. */
interface AgentProcess {
  readonly pid: number;
  /** By a signal. */
  readonly isStopped: boolean;
  /** It was told to listen somewhere else: it may be that of another network. */
  readonly isElsewhere: boolean;
}

/** Nobody answers. @param agents those that run here all the same */
export function silenceCauses(error: ApiError, agents: readonly AgentProcess[]): Cause[] {
  // Containers talk without it, as long as nothing changes.
  const common = { severity: 'warning' as const, layer: 'agent' as const, evidence: [error.message] };
  if (error.code === 'AGENT_NOT_RUNNING') {
    const deaf = agents.find(({ isElsewhere }) => !isElsewhere);
    if (deaf !== undefined) {
      return [
        {
          ...common,
          evidence: [...common.evidence, `process ${deaf.pid} is an agent`],
          code: 'AGENT_HUNG',
          reason: `an agent runs on ${HERE}, but does not listen at its socket yet: it cannot be asked`,
          remedy: 'if it stays so, restart it: systemctl restart tulle',
        },
      ];
    }
    return [
      {
        ...common,
        code: 'AGENT_DOWN',
        reason: `the agent of ${HERE} does not run: what it made stays, nothing is repaired, and new peers are not reached`,
        remedy: 'start it: systemctl start tulle',
      },
    ];
  }
  if (error.code !== 'TIMEOUT') return [];
  const stopped = agents.filter(({ isStopped }) => isStopped);
  const [{ pid } = {}] = stopped;
  return [
    {
      ...common,
      evidence: [...common.evidence, ...stopped.map(each => `process ${each.pid}: State: T (stopped)`)],
      code: 'AGENT_HUNG',
      reason: `the agent of ${HERE} runs and does not answer${pid === undefined ? '' : ': a signal has stopped it'}; nothing is repaired, and new peers are not reached`,
      remedy: pid === undefined ? 'restart it: systemctl restart tulle' : `kill -CONT ${pid}`,
    },
  ];
}

function agents(): AgentProcess[] {
  return processesWith('agent')
    .map(({ pid }) => ({ pid, line: fileOf(pid, 'cmdline') }))
    .filter(({ line }) => /\btulle\b|main\.[jt]s/.test(line))
    .map(({ pid, line }) => ({
      pid,
      isStopped: isStopped(pid),
      isElsewhere: /\0--socket[=\0]/.test(line),
    }));
}

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** @param now milliseconds since 1970 */
export function stateCauses(status: Status, now: number): Cause[] {
  return [
    ...status.conditions.flatMap(conditionCause),
    ...status.warnings.flatMap(warning => warningCause(warning, status)),
    ...status.peers.flatMap(peerCause),
    ...leaseCauses(status, now),
  ];
}

const LAYER_OF_CONDITION: Readonly<Record<Condition['name'], FindingLayer>> = {
  underlay: 'underlay',
  store: 'store',
  config: 'store',
  lease: 'store',
  dataplane: 'tunnel',
  firewall: 'firewall',
  'subnet-file': 'docker',
  state: 'agent',
};

function conditionCause({ name, ok, required, code, reason, hint }: Condition): Cause[] {
  if (ok || code === undefined || reason === undefined) return [];
  return [
    {
      code: code === 'STARTING' ? 'AGENT_NOT_READY' : code,
      severity: required && code !== 'STARTING' ? 'error' : 'warning',
      layer: code === 'DUPLICATE_IDENTITY' ? 'identity' : LAYER_OF_CONDITION[name],
      reason,
      evidence: [`tulle status: condition ${name} is not met (${code})`],
      remedy: hint ?? 'tulle status',
    },
  ];
}

/** What other checks find by themselves, with evidence; and what only says that something does not answer. */
const FOUND_ELSEWHERE =
  /^(FORWARDING_OFF|STRICT_RP_FILTER|ROUTE_CAPTURES|NO_CARRIER|FIREWALL_OBSTACLE|BRIDGE_MTU|FORMER_SUBNET|PEER_.*|UNDERLAY_SILENT)$/;

const LAYERS_OF_WARNINGS: readonly (readonly [RegExp, FindingLayer])[] = [
  [/IDENTITY|PUBLIC_IP|CERTIFICATE/, 'identity'],
  [/MTU|UNDERLAY_UNFIT|FAMILY_LEFT_OUT/, 'mtu'],
  [/CONFIG|LEASE|PEERS_KEPT|NETWORK_CHANGING/, 'store'],
  [/TUNNEL|FORWARDER|ENTRIES|CONFLICTING_WRITER/, 'tunnel'],
  [/DOCKER/, 'docker'],
  [/ROUTERS_IGNORED/, 'underlay'],
];

/** Those of L2 networks are not of the overlay. */
const isOfNetworks = (code: string) => /^NETWORK_(?!CHANGING)|^DOCKER_NETWORK/.test(code);

function warningCause(
  { code, severity, title, text, hint }: Warning,
  { dataplane, firewall }: Status,
): Cause[] {
  if (FOUND_ELSEWHERE.test(code) || isOfNetworks(code) || code === 'OPTION_QUESTIONABLE') return [];
  return [
    {
      code,
      // What it undoes is repaired.
      severity: code === 'CONFLICTING_WRITER' && dataplane.inSync && firewall.ok ? 'info' : severity,
      layer: LAYERS_OF_WARNINGS.find(([pattern]) => pattern.test(code))?.[1] ?? 'agent',
      reason: `${title}: ${text}`,
      evidence: [`tulle status: warning ${code}`],
      remedy: hint ?? 'tulle status',
    },
  ];
}

/** A host with a lease that this one cannot use. */
function peerCause({ key, hostName, state, reason }: PeerStatus): Cause[] {
  if (state === 'ok' || state === 'pending') return [];
  const name = hostName ?? key;
  const isRefusal = state === 'failed';
  return [
    {
      code: isRefusal ? 'PEER_NOT_PROGRAMMED' : 'LEASE_WRONG',
      severity: isRefusal ? 'error' : 'warning',
      layer: isRefusal ? 'tunnel' : 'store',
      reason: isRefusal
        ? `${name} is not in the kernel's tables: ${reason ?? 'the kernel refuses its entries'}`
        : `${HERE} does not use the lease ${key} of ${name}: ${reason ?? state}`,
      evidence: [`tulle status: peer ${name} is ${state}`],
      remedy: isRefusal
        ? '`tulle status --peer` shows what differs'
        : '`tulle lease list` shows it; the host that wrote it must write a right one',
    },
  ];
}

/** Its own. */
function leaseCauses({ lease, store }: Status, now: number): Cause[] {
  if (lease?.expires === undefined || Date.parse(lease.expires) > now) return [];
  return [
    {
      code: 'LEASE_GONE',
      severity: 'warning',
      layer: 'store',
      reason: `the lease ${lease.key} of ${HERE} has expired: other hosts do not reach it, and another one may get its subnet`,
      evidence: [`expires ${lease.expires}`, ...(store.lastError === undefined ? [] : [store.lastError])],
      remedy: store.connected
        ? 'tulle status'
        : 'make the store reachable again; the agent renews the lease by itself',
    },
  ];
}
