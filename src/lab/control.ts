/**
 * The daemons of a host, stopped and started as its service manager would. Nothing of that is in the lab's record: what
 * runs is asked of the host.
 */
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { isCode } from '../base/errors.ts';
import { SUBNET_FILE } from '../console/defaults.ts';
import { LabError } from './errors.ts';
import { LabHost } from './host/host.ts';
import { requireHost, requireUp } from './record/find.ts';
import {
  type ContainerRecord,
  type HostRecord,
  lockName,
  requireRecord,
  saveRecord,
} from './record/record.ts';
import { agentOf, startAgent, stopAgent } from './service/agent.ts';
import { startDockerd, stopDockerd } from './service/docker.ts';
import { startContainers } from './service/docker-containers.ts';
import { startStore } from './service/store.ts';
import { type HostSubnet, parseHostSubnet } from './service/subnet-env.ts';
import type { LabHostPlan } from './topology/host-plan.ts';
import { type LabPlan, planTopology } from './topology/plan.ts';

interface Place {
  readonly lab: LabPlan;
  readonly plan: LabHostPlan;
  readonly record: HostRecord;
  readonly host: LabHost;
}

/** Ends the agent of a host. False when none ran. @throws LabError NOT_FOUND, HOST_DOWN, BUSY */
export async function stopAgentOn(labName: string, hostName: string): Promise<boolean> {
  await using _lock = await lockHost(labName, hostName);
  return await stopAgent(find(labName, hostName).host);
}

/**
 * Starts the agent of a host with the flags that it has in this lab, and waits until it has its lease.
 *
 * @param flags further ones. @returns its subnet; undefined when an agent runs already.
 * @throws LabError NOT_FOUND, HOST_DOWN, BUSY, START_FAILED; `signal.reason`.
 */
export async function startAgentOn(
  labName: string,
  hostName: string,
  flags: readonly string[],
  signal: AbortSignal,
): Promise<HostSubnet | undefined> {
  await using _lock = await lockHost(labName, hostName);
  const { host, lab, plan } = find(labName, hostName);
  if (agentOf(host.anchor) !== undefined) return undefined;
  const agent = { ...plan.agent, flags: [...(plan.agent?.flags ?? []), ...flags] };
  // It is written again when the agent is ready, and that is waited for.
  const [file, former] = [host.path(SUBNET_FILE), host.path(`${SUBNET_FILE}.former`)];
  if (existsSync(file)) renameSync(file, former);
  try {
    return await startAgent(host, { ...plan, agent }, lab, signal);
  } finally {
    // What is built on the former lease goes on where there is no other.
    if (!existsSync(file) && existsSync(former)) renameSync(former, file);
    rmSync(former, { force: true });
  }
}

export interface DockerRestart {
  /** Replaces the host's daemon.json; it is as it is when absent. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** False: without the flags that follow from the lease, as dockerd starts by default. */
  readonly leased?: boolean;
}

/**
 * Ends dockerd and starts it again, on what the host leases now, and with it the containers that the lab made.
 *
 * @throws LabError NOT_FOUND, HOST_DOWN, BUSY, START_FAILED; ConfigError; `signal.reason`.
 */
export async function restartDockerOn(
  labName: string,
  hostName: string,
  { config, leased = true }: DockerRestart,
  signal: AbortSignal,
): Promise<readonly ContainerRecord[]> {
  await using _lock = await lockHost(labName, hostName);
  const { host, lab, plan, record } = find(labName, hostName);
  if (plan.docker === undefined) {
    throw new LabError('NOT_FOUND', `host ${hostName} has no dockerd`, {
      hint: 'make a lab with `tulle lab up --docker`, or with `docker: true` in its topology',
    });
  }
  // What follows from the lease may be said otherwise where it does not follow from it.
  if (config !== undefined && leased) checkWithConfig(lab, hostName, config);
  await stopDockerd(host, signal);
  // A file that an agent of the user has written is for his own daemon.json.
  const subnet = plan.isLeased && leased ? subnetOf(host) : undefined;
  await startDockerd(host, labName, { subnet, config }, signal);
  const names = record.containers.map(({ name }) => name);
  const containers = await startContainers(host, names, signal);
  // Where they are now, for the time when no dockerd can say it.
  const known = requireRecord(labName);
  const now = record.containers.map(each => containers.find(({ name }) => name === each.name) ?? each);
  const hosts = known.hosts.map(each => (each.name === hostName ? { ...each, containers: now } : each));
  await saveRecord({ ...known, hosts });
  return containers;
}

/** Starts the lab's store again, on what is on its host's disk. @throws LabError NOT_FOUND, HOST_DOWN, BUSY, START_FAILED; `signal.reason`. */
export async function startStoreOn(labName: string, signal: AbortSignal): Promise<void> {
  const { store } = planTopology(requireRecord(labName).topology, { name: labName });
  if (store === undefined) throw new LabError('NOT_FOUND', `lab ${labName} has no store`);
  await using _lock = await lockHost(labName, store.on);
  const { host, lab } = find(labName, store.on);
  await startStore(host, lab, signal);
}

/** As the topology with this configuration would be. @throws ConfigError */
function checkWithConfig({ name, topology }: LabPlan, hostName: string, config: object): void {
  const given = topology.hosts[hostName];
  if (given === undefined) return;
  const docker = { ...(typeof given.docker === 'object' ? given.docker : {}), config: { ...config } };
  planTopology({ ...topology, hosts: { ...topology.hosts, [hostName]: { ...given, docker } } }, { name });
}

async function lockHost(labName: string, hostName: string): Promise<AsyncDisposable> {
  // Unknown names are reported before anything is locked.
  find(labName, hostName);
  return await lockName(labName);
}

function find(labName: string, hostName: string): Place {
  const known = requireRecord(labName);
  const record = requireHost(known, hostName);
  requireUp(known, record);
  const lab = planTopology(known.topology, { name: labName });
  const plan = lab.hosts.find(({ name }) => name === hostName);
  if (plan === undefined) throw new LabError('NOT_FOUND', `lab ${labName} has no host ${hostName}`);
  return { lab, plan, record, host: new LabHost(record.name, record.anchor) };
}

/** What its agent leased last, if it has one. */
function subnetOf(host: LabHost): HostSubnet | undefined {
  try {
    return parseHostSubnet(readFileSync(host.path(SUBNET_FILE), 'utf8'));
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
