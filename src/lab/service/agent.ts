/** The program under study: one `tulle agent` per host, started as a person would. */
import { basename } from 'node:path';
import { AgentClient } from '../../api/client.ts';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import type { Status } from '../../api/status.ts';
import { systemClock } from '../../base/clock.ts';
import { isCode } from '../../base/errors.ts';
import type { Prefix } from '../../base/prefix.ts';
import { SUBNET_FILE } from '../../console/defaults.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { endProcess, type ProcessId } from '../../sys/pidfd.ts';
import { LabError } from '../errors.ts';
import { startDaemon } from '../host/daemon.ts';
import { type LabHost, TULLE } from '../host/host.ts';
import { processesOf } from '../host/processes.ts';
import type { LabHostPlan } from '../topology/host-plan.ts';
import type { LabPlan } from '../topology/plan.ts';
import { HeldSocket } from './held-socket.ts';
import { type HostSubnet, parseHostSubnet } from './subnet-env.ts';

type WayToStore = Pick<LabPlan, 'etcdEndpoint' | 'etcdPrefix'>;

/** Link of a host that has but one. */
const UPLINK = 'eth0';

/** Those that flanneld has too. In a lab without a store where it is must be among the host's own flags. */
const flannelArguments = ({ etcdEndpoint, etcdPrefix }: WayToStore, uplink: string): string[] => [
  ...(etcdEndpoint === undefined ? [] : [`--etcd-endpoints=${etcdEndpoint}`]),
  `--etcd-prefix=${etcdPrefix}`,
  `--iface=${uplink}`,
  '--ip-masq',
];

/** @param uplink name of the host's link to the others. */
export function agentArguments(store: WayToStore, uplink = UPLINK): string[] {
  // Who makes a lab writes its configuration.
  return ['agent', ...flannelArguments(store, uplink), '--allow-extension'];
}

/** Milliseconds; more than a machine needs that is busy with as many labs as it has tests. */
const PATIENCE = 60_000;
/** Longer than it takes an agent to decide that it cannot stop. */
const DYING_MS = 35_000;
/** Between two looks. */
const INTERVAL = 200;
/** That a condition may fail, because something that it needs is still on its way. */
const GRACE = 3_000;

/** Starts the agent and waits until it holds a lease and has written it down. @throws LabError with the agent's own reason */
export async function startAgent(
  host: LabHost,
  { links, agent, docker }: Pick<LabHostPlan, 'links' | 'agent' | 'docker'>,
  store: WayToStore,
  signal: AbortSignal,
): Promise<HostSubnet> {
  const uplink = links[0]?.name ?? UPLINK;
  const { flags = [], flanneld } = agent ?? {};
  if (flanneld !== undefined) {
    const args = [...flannelArguments(store, uplink), ...flags];
    const spec = { name: 'flanneld', program: flanneld, args, readyFile: SUBNET_FILE, patience: PATIENCE };
    return parseHostSubnet(await startDaemon(host, { ...spec, signal }));
  }
  using plugin = docker?.plugin === true ? await HeldSocket.of(host) : undefined;
  const over = new AbortController();
  const failed = new AbortController();
  const watching = untilStatus(host, () => false, over.signal).catch(error => failed.abort(error));
  try {
    const text = await startDaemon(host, {
      name: 'agent',
      program: TULLE,
      args: [...agentArguments(store, uplink), ...flags],
      readyFile: SUBNET_FILE,
      passed: plugin === undefined ? [] : [plugin.passed],
      patience: PATIENCE,
      signal: AbortSignal.any([signal, failed.signal]),
    });
    return parseHostSubnet(text);
  } finally {
    over.abort();
    await watching;
  }
}

/** The agent that runs on a host, or the flanneld in its place; undefined when none does. */
export const agentOf = (anchor: ProcessId): ProcessId | undefined =>
  processesOf(anchor).find(({ words }) => isAgent(words))?.id;

/** `tulle agent` is Node.js, flags of its, the file of the program, and the command. */
function isAgent([program = '', ...words]: readonly string[]): boolean {
  const file = words.find(word => !word.startsWith('-')) ?? '';
  return (
    basename(program) === 'flanneld' || (PROGRAM.test(file) && words[words.indexOf(file) + 1] === 'agent')
  );
}

/** What bin/tulle gives to Node.js. */
const PROGRAM = /\/main\.[jt]s$/;

/** Ends the agent as its service manager would. False when none ran. */
export async function stopAgent(host: LabHost): Promise<boolean> {
  const agent = agentOf(host.anchor);
  if (agent !== undefined) await endProcess(agent, DYING_MS);
  return agent !== undefined;
}

/** Waits until the kernel of a host has a route to each of these subnets, whichever program made it. @throws LabError */
export async function waitForRoutes(
  host: LabHost,
  route: Rtnetlink,
  subnets: readonly Prefix[],
  signal: AbortSignal,
): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE);
  for (;;) {
    const routes = await route.routes.list({ table: RT_TABLE_MAIN });
    const missing = subnets.filter(subnet => !routes.some(({ destination }) => destination?.equals(subnet)));
    if (missing.length === 0) return;
    signal.throwIfAborted();
    if (patience.aborted) throw notStarted(`${host.name} has no route to ${missing.join(', ')}`);
    await systemClock.sleep(INTERVAL, signal).catch(() => undefined);
  }
}

/**
 * Waits until the agent has everything in place for so many peers: then packets flow, as far as the backend sees to that.
 * @throws LabError with the agent's own reason
 */
export async function waitForPeers(host: LabHost, peers: number, signal: AbortSignal): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE);
  let latest: Status | undefined;
  const areThere = (status: Status) => {
    latest = status;
    return status.peers.filter(({ state }) => state === 'ok').length >= peers;
  };
  await untilStatus(host, areThere, AbortSignal.any([signal, patience]));
  signal.throwIfAborted();
  if (!patience.aborted) return;
  const missing = (latest?.peers ?? []).filter(({ state }) => state !== 'ok');
  const reasons = missing.map(({ key, state, reason = state }) => `${key} (${reason})`);
  const what = reasons.length === 0 ? 'some hosts' : reasons.join(', ');
  throw notStarted(`${host.name} does not reach ${what}`);
}

/** Asks the agent until its status satisfies `test` or `signal` aborts. @throws LabError when it fails for good */
async function untilStatus(
  host: LabHost,
  test: (status: Status) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const client = new AgentClient({ socketPath: host.path(DEFAULT_SOCKET) });
  while (!signal.aborted) {
    const status = await statusOf(client, signal);
    if (status !== undefined) {
      if (test(status)) return;
      const failure = status.conditions.find(isLasting);
      if (failure !== undefined) {
        throw notStarted(`the agent on ${host.name}: ${failure.reason}`, failure.hint);
      }
    }
    await systemClock.sleep(INTERVAL, signal).catch(() => undefined);
  }
}

/** undefined while it does not answer. */
async function statusOf(client: AgentClient, signal: AbortSignal): Promise<Status | undefined> {
  try {
    return await client.status(signal);
  } catch (error) {
    if (signal.aborted || isCode(error, 'AGENT_NOT_RUNNING', 'TIMEOUT')) return undefined;
    throw error;
  }
}

function isLasting({ required, ok, code, since }: Status['conditions'][number]): boolean {
  return required && !ok && code !== 'STARTING' && Date.now() - Date.parse(since) > GRACE;
}

/** Nothing is left of the lab afterwards, so that there is nothing to look at. */
const notStarted = (message: string, hint?: string) =>
  new LabError('START_FAILED', message, { op: 'agent', ...(hint === undefined ? {} : { hint }) });
