/** The program under study: one `tulle agent` per host, started as a person would. */
import type { Prefix } from '../base/prefix.ts';
import { SUBNET_FILE } from '../console/defaults.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { startDaemon } from './daemon.ts';
import { LabError } from './errors.ts';
import { UPLINK } from './fabric.ts';
import { type LabHost, TULLE } from './host.ts';
import type { LabPlan } from './plan.ts';
import { type HostSubnet, parseHostSubnet } from './subnet-env.ts';

export function agentArguments(plan: Pick<LabPlan, 'etcdEndpoint' | 'etcdPrefix'>): string[] {
  return [
    'agent',
    `--etcd-endpoints=${plan.etcdEndpoint}`,
    `--etcd-prefix=${plan.etcdPrefix}`,
    `--iface=${UPLINK}`,
    '--ip-masq',
  ];
}

/** Starts the agent and waits until it holds a lease and has written it down. */
export async function startAgent(host: LabHost, plan: LabPlan, signal: AbortSignal): Promise<HostSubnet> {
  const text = await startDaemon(host, {
    name: 'agent',
    program: TULLE,
    args: agentArguments(plan),
    readyFile: SUBNET_FILE,
    patience: 30_000,
    signal,
  });
  return parseHostSubnet(text);
}

const PATIENCE_MS = 30_000;

/**
 * Waits until the host has a route to every one of these subnets. Of the entries of a peer the agent programs
 * the route last, so then packets flow.
 */
export async function waitForRoutes(
  name: string,
  route: Rtnetlink,
  subnets: readonly Prefix[],
  signal: AbortSignal,
): Promise<void> {
  const enough = new AbortController();
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const missing = new Set(subnets.map(String));
  const look = async () => {
    for (const { destination } of await route.routes.list()) {
      if (destination !== undefined) missing.delete(destination.toString());
    }
    if (missing.size === 0) enough.abort();
  };
  // Watching begins before the first look, so that nothing falls in between.
  const events = route.watch(['route'], AbortSignal.any([signal, patience, enough.signal]));
  try {
    await look();
    for await (const { type } of events) {
      if (enough.signal.aborted) break;
      if (type === 'route' || type === 'overrun') await look();
    }
  } finally {
    enough.abort();
  }
  signal.throwIfAborted();
  if (missing.size > 0) {
    throw new LabError('START_FAILED', `${name} has no route to ${[...missing].join(', ')}`, {
      op: 'agent',
      hint: `see \`tulle lab exec ${name} -- tulle status\``,
    });
  }
}
