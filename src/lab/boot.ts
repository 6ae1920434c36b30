/** What is started on a host, when it is new and when it boots again. */
import { mapFamilies } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { isAlive } from '../sys/pidfd.ts';
import type { Site } from './host/site.ts';
import type { ContainerRecord, HostRecord } from './record/record.ts';
import { agentOf, startAgent, waitForPeers, waitForRoutes } from './service/agent.ts';
import { startDockerd } from './service/docker.ts';
import { makeOverlayNetwork, runContainers, startContainers } from './service/docker-containers.ts';
import { provideImage } from './service/docker-image.ts';
import { makeSandboxes, unleased } from './service/sandboxes.ts';
import { configureNetwork, startStore } from './service/store.ts';
import type { HostSubnet } from './service/subnet-env.ts';
import type { LabPlan } from './topology/plan.ts';

export interface BootOptions {
  readonly signal: AbortSignal;
  /** Its disk has what it had before. */
  readonly again?: boolean;
}

/** Starts the store if this is its host. */
export async function bootStore({ host }: Site, lab: LabPlan, { signal, again }: BootOptions): Promise<void> {
  if (lab.store?.on !== host.name) return;
  await startStore(host, lab, signal);
  // One that was changed since is kept.
  if (again !== true) await configureNetwork(host, lab, signal);
}

/** Starts the agent of a host and, on the subnet that it leases, dockerd and the containers. */
export async function populate(site: Site, lab: LabPlan, options: BootOptions): Promise<HostRecord> {
  const { host, plan } = site;
  const subnet = plan.agent && (await startAgent(host, plan, lab, options.signal));
  return {
    ...emptyHost(site),
    subnet: mapFamilies(subnet?.subnet ?? {}, String),
    containers: await startAllContainers(site, lab.name, subnet, options),
  };
}

/** A host on which nothing was started. */
export function emptyHost({ host, plan }: Site): HostRecord {
  return {
    name: host.name,
    address: mapFamilies(plan.address, String),
    links: plan.links.map(link => ({
      name: link.name,
      segment: link.segment,
      addresses: link.addresses.map(({ ip }) => ip.toString()),
    })),
    anchor: host.anchor,
    runtime: plan.runtime,
    subnet: {},
    containers: [],
  };
}

async function startAllContainers(
  { host, route, plan }: Site,
  labName: string,
  subnet: HostSubnet | undefined,
  { signal, again }: BootOptions,
): Promise<ContainerRecord[]> {
  const { agent, bridge, containers, docker } = plan;
  const names = containers.map(({ name }) => name);
  if (docker !== undefined) {
    await startDockerd(
      host,
      labName,
      {
        subnet: plan.isLeased ? subnet : undefined,
        ...(again === true ? {} : { config: docker.config }),
      },
      signal,
    );
    if (again === true) return await startContainers(host, names, signal);
    const image = await provideImage(host, docker.image, signal);
    const needsNetwork = docker.plugin === true && !plan.isLeased && containers.length > 0;
    const network = needsNetwork ? await makeOverlayNetwork(host, signal) : undefined;
    return await runContainers(host, containers, { image, network }, signal);
  }
  if (agent === undefined && bridge === undefined && containers.length === 0) return [];
  return await makeSandboxes(host, route, names, subnet ?? unleased(bridge));
}

/** Waits until a host has everything for all others on which an agent runs. */
export async function waitForOthers(
  { host, route, plan }: Site,
  hosts: readonly HostRecord[],
  signal: AbortSignal,
): Promise<void> {
  if (plan.agent === undefined) return;
  const others = hosts.filter(
    ({ name, anchor }) => name !== host.name && isAlive(anchor) && agentOf(anchor) !== undefined,
  );
  if (plan.agent.flanneld === undefined) return await waitForPeers(host, others.length, signal);
  const subnets = others.flatMap(({ subnet }) => subnet.ipv4 ?? []).map(text => Prefix.parse(text));
  await waitForRoutes(host, route, subnets, signal);
}
