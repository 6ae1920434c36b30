/** A host of a lab, read and checked. */
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import { byFamily, type PerFamily } from '../../base/per-family.ts';
import { type InterfaceAddress, parseInterfaceAddress } from '../../base/prefix.ts';
import { RESOLVER_ADDRESS } from '../../console/defaults.ts';
import { LEASE_OPTIONS } from '../../subnet/docker-settings.ts';
import { type Checks, listOf } from './checks.ts';
import { type LinkPlan, planLink, planRoutes, type RoutePlan } from './link-plan.ts';
import type { SegmentPlan } from './segment-plan.ts';
import type { Runtime, TopologyAgent, TopologyContainer, TopologyDocker, TopologyHost } from './topology.ts';

export interface LabHostPlan {
  readonly name: string;
  /** On the underlay: of each family the first of its links. A host without links has none. */
  readonly address: PerFamily<Ip>;
  readonly links: readonly LinkPlan[];
  readonly routes: readonly RoutePlan[];
  readonly forwarding: boolean;
  readonly agent?: TopologyAgent;
  readonly runtime: Runtime;
  readonly docker?: TopologyDocker;
  /** Whether `docker0` has the subnet that the agent leases. */
  readonly isLeased: boolean;
  readonly containers: readonly ContainerPlan[];
  /** Of `docker0`, where neither an agent nor dockerd says it. */
  readonly bridge?: PerFamily<InterfaceAddress>;
}

export interface ContainerPlan extends TopologyContainer {
  /** Unique on the host. */
  readonly name: string;
}

/** Settings of dockerd that the lab makes with flags, which must not be in the file as well. */
const FLAGS_OF_LAB = ['exec-opts', 'cgroup-parent'];

export function planLabHost(
  name: string,
  given: TopologyHost,
  segments: readonly SegmentPlan[],
  checks: Checks,
): LabHostPlan {
  const path = `hosts.${name}`;
  checks.name(path, name);
  const links = (given.links ?? []).map((link, index) =>
    planLink(`${path}.links[${index}]`, index, link, segments, checks),
  );
  checks.unique(
    `${path}.links`,
    links.map(link => link.name),
    'a link',
  );
  const [agent, docker] = [settingsOf(given.agent), withResolver(settingsOf(given.docker))];
  const isLeased = agent !== undefined && (docker?.leased ?? docker?.plugin !== true);
  checkDockerConfig(`${path}.docker.config`, docker?.config ?? {}, isLeased, checks);
  checkPlugin(`${path}.docker.plugin`, docker, agent, checks);
  const host: LabHostPlan = {
    name,
    links,
    routes: planRoutes(`${path}.routes`, given.routes ?? [], links, checks),
    address: byFamily(...links.flatMap(({ addresses }) => addresses.map(({ ip }) => ip)).toReversed()),
    forwarding: given.forwarding ?? false,
    runtime: docker === undefined ? 'namespace' : 'docker',
    isLeased,
    containers: planContainers(`${path}.containers`, given.containers ?? [], docker !== undefined, checks),
    ...defined({ agent, docker, bridge: planBridge(`${path}.bridge`, given, checks) }),
  };
  return host;
}

/** `true` stands for settings without any. */
const settingsOf = <T extends object>(
  given: boolean | T | undefined,
): T | Record<string, never> | undefined => (given === true ? {} : given === false ? undefined : given);

/** Docker forwards names that it does not know to the servers of its configuration, unless that has others. */
const withResolver = (docker: TopologyDocker | undefined): TopologyDocker | undefined =>
  docker?.plugin === true ? { ...docker, config: { dns: [RESOLVER_ADDRESS], ...docker.config } } : docker;

function checkPlugin(
  path: string,
  docker: TopologyDocker | undefined,
  agent: TopologyAgent | undefined,
  checks: Checks,
): void {
  if (docker?.plugin !== true) return;
  if (agent === undefined) checks.fail(path, true, 'an agent serves it', 'add `agent: true`');
  else if (agent.flanneld !== undefined) checks.fail(path, true, 'flanneld has none', 'omit agent.flanneld');
}

function planContainers(
  path: string,
  given: NonNullable<TopologyHost['containers']>,
  hasDocker: boolean,
  checks: Checks,
): ContainerPlan[] {
  const containers: ContainerPlan[] = isList(given)
    ? given.map(name => ({ name }))
    : Object.entries(given).map(([name, container]) => ({ name, ...container }));
  for (const { name, command, flags } of containers) {
    checks.name(path, name);
    if (hasDocker || (command === undefined && flags === undefined)) continue;
    checks.fail(`${path}.${name}`, undefined, 'only a container of dockerd has a command and flags');
  }
  if (isList(given)) checks.unique(path, given, 'a container');
  return containers;
}

const isList = <T>(given: readonly string[] | T): given is readonly string[] => Array.isArray(given);

function planBridge(path: string, given: TopologyHost, checks: Checks): LabHostPlan['bridge'] {
  if (given.bridge === undefined) return undefined;
  if (settingsOf(given.docker) !== undefined) {
    checks.fail(path, given.bridge, 'dockerd makes the bridge', 'set `bip` in docker.config');
  } else if (settingsOf(given.agent) !== undefined) {
    checks.fail(path, given.bridge, 'the bridge has the subnet that the agent leases');
  }
  const addresses = listOf(given.bridge).flatMap(
    text => checks.read(path, text, parseInterfaceAddress) ?? [],
  );
  return byFamily(...addresses.map(address => ({ ...address, family: address.ip.family })));
}

function checkDockerConfig(path: string, config: object, isLeased: boolean, checks: Checks): void {
  const taken = [...FLAGS_OF_LAB, ...(isLeased ? LEASE_OPTIONS : [])];
  for (const [key, value] of Object.entries(config)) {
    if (!taken.includes(key)) continue;
    const why = FLAGS_OF_LAB.includes(key)
      ? 'every dockerd of a lab has its own'
      : 'follows from what the agent leases';
    checks.fail(`${path}.${key}`, value, why, 'omit it');
  }
}
