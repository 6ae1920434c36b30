/** What the network commands do, given the L2 networks in the store. */

import { VXLAN_OVERHEAD } from '../backend/vxlan.ts';
import { defined } from '../base/defined.ts';
import { ConfigError } from '../base/errors.ts';
import type { AgentOption } from '../cli/agent-option.ts';
import {
  dockerNetworksOf,
  networkOnHost,
  onHostFacts,
  pluginNetworks,
  underlayOfHost,
} from '../cli/network-on-host.ts';
import { CommandError } from '../console/errors.ts';
import { note, print, printJson, warn } from '../console/output.ts';
import { formatFacts, formatTable } from '../console/table.ts';
import { addSegment, releaseHost, removeSegment } from '../subnet/segment/administration.ts';
import type { SegmentRequest } from '../subnet/segment/check-segment.ts';
import { nameOfHost, type SegmentSnapshot } from '../subnet/segment/segment.ts';
import { notFound, type SegmentRegistry } from '../subnet/segment/segment-registry.ts';
import {
  ENDPOINT_COLUMNS,
  endpointJson,
  formatPair,
  HOST_COLUMNS,
  hostRows,
  networkColumns,
  networkFacts,
  networkJson,
} from './network-view.ts';

interface Format {
  readonly json?: true;
}

/** Of an underlay of Ethernet and IPv4. */
const USUAL_MTU = 1500 - VXLAN_OVERHEAD.ipv4;

/**
 * Unless it is given, the MTU is what the underlay of this host carries: one for all hosts, because packets that are larger
 * than a host expects them are lost without a trace.
 *
 * @throws ConfigError in the words of the command line; SegmentError, StoreError */
export async function createNetwork(
  registry: SegmentRegistry,
  request: SegmentRequest,
  { json, ...agent }: Format & AgentOption,
): Promise<void> {
  const mtu = request.mtu ?? (await mtuOnHost(agent)) ?? USUAL_MTU;
  try {
    const segment = await addSegment(registry, { ...request, mtu });
    if (json) printJson(networkJson(segment));
    else note(`created ${segment.name}: ${formatPair(segment.subnets)}, VNI ${segment.vni}`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      `network ${request.name}`,
      error.problems.map(problem => ({ ...problem, path: optionOf(problem.path) })),
    );
  }
}

async function mtuOnHost(agent: AgentOption): Promise<number | undefined> {
  const underlay = await underlayOfHost(agent);
  const family = underlay?.ip.ipv4 === undefined ? 'ipv6' : 'ipv4';
  return underlay && underlay.link.mtu - VXLAN_OVERHEAD[family];
}

export async function listNetworks(
  registry: SegmentRegistry,
  { json, ...agent }: Format & AgentOption,
): Promise<void> {
  const { segments, rejected } = await registry.list();
  const all = [...segments.values()];
  const ofPlugin = await pluginNetworks(agent);
  if (json) {
    const networks = all.map(({ segment, members, endpoints }) => ({
      ...networkJson(segment),
      ...defined({ dockerNames: ofPlugin.get(segment.name) }),
      members: members.size,
      endpoints: endpoints.size,
    }));
    printJson({ networks, rejected });
    return;
  }
  if (all.length === 0) print('No networks.');
  else print(formatTable(networkColumns(ofPlugin), all));
  warnOf(rejected);
}

export async function inspectNetwork(
  registry: SegmentRegistry,
  name: string,
  { json, ...agent }: Format & AgentOption,
): Promise<void> {
  const { segments, rejected } = await registry.list();
  const found = segments.get(name);
  if (found === undefined) throw notFound(name);
  const thisHost = await networkOnHost(agent, name);
  const dockerNames = (await pluginNetworks(agent)).get(name);
  const rows = hostRows(found);
  const ofThis = rejected.filter(({ key }) => key.startsWith(`${name}/`));
  if (json) {
    printJson({
      ...networkJson(found.segment),
      ...defined({ dockerNames }),
      hosts: rows.map(({ host, member, blocks, containers }) => ({
        hostId: host.hostId,
        hostName: host.hostName,
        member: member !== undefined,
        addresses: member?.addresses,
        mac: member?.mac,
        ranges: blocks,
        containers,
      })),
      endpoints: [...found.endpoints.values()].map(endpointJson),
      ...defined({ thisHost }),
      rejected: ofThis,
    });
    return;
  }
  print(formatFacts([...networkFacts(found, dockerNames), ...onHostFacts(thisHost)]));
  if (rows.length > 0) print(`\n${formatTable(HOST_COLUMNS, rows)}`);
  const endpoints = [...found.endpoints.values()].sort((a, b) => a.ip.compare(b.ip));
  if (endpoints.length > 0) print(`\n${formatTable(ENDPOINT_COLUMNS, endpoints)}`);
  warnOf(ofThis);
}

/**
 * Where this host has it in Docker as well, Docker is not asked to let it go: the network would come back with a container.
 *
 * @throws SegmentError IN_USE, NOT_FOUND; StoreError
 */
export async function deleteNetwork(
  registry: SegmentRegistry,
  name: string,
  { force = false, json, ...agent }: Format & AgentOption & { readonly force?: boolean },
): Promise<void> {
  const inDocker = await dockerNetworksOf(agent, name);
  const { segment, endpoints } = await removeSegment(registry, name, { force });
  if (json) {
    printJson({
      deleted: networkJson(segment),
      endpoints: [...endpoints.values()].map(endpointJson),
      dockerNetworks: inDocker,
    });
  } else note(`deleted ${name}`);
  if (inDocker.length === 0) return;
  const names = inDocker.join(' ');
  warn(`Docker on this host still has ${names}: its next container makes the network ${name} again`);
  note(`hint: docker network rm ${names} here, and on each host that has it`);
}

/** @throws CommandError NOT_FOUND, NOT_NOW; SegmentError NOT_FOUND; StoreError */
export async function releaseFromNetwork(
  registry: SegmentRegistry,
  name: string,
  which: string,
  { force = false, json }: Format & { readonly force?: boolean },
): Promise<void> {
  const row = hostIn(await registry.get(name), which);
  const { host, member, blocks, containers } = row;
  const called = nameOfHost(host);
  if (!force && (member !== undefined || containers > 0)) {
    const hint = 'what a dead host has of it ends after a day by itself, but for its ranges; or use --force';
    throw new CommandError('NOT_NOW', `${called} is on the network ${name}`, hint);
  }
  await releaseHost(registry, name, host.hostId);
  if (json) printJson({ released: { hostId: host.hostId, hostName: host.hostName, ranges: blocks } });
  else note(`released ${blocks.join(', ') || 'all'} of ${called} on ${name}`);
}

function hostIn(found: SegmentSnapshot, which: string) {
  const rows = hostRows(found);
  const named = rows.filter(({ host }) => host.hostId === which || host.hostName === which);
  const [row, other] = named;
  if (other !== undefined) {
    const ids = named.map(({ host }) => host.hostId).join(' and ');
    throw new CommandError('USAGE', `several hosts are called ${which}`, `give an id: ${ids}`);
  }
  if (row !== undefined) return row;
  const { name } = found.segment;
  throw new CommandError(
    'NOT_FOUND',
    `no host ${which} has anything of the network ${name}`,
    `see tulle network inspect ${name}`,
  );
}

function warnOf(rejected: readonly { readonly key: string; readonly reason: string }[]): void {
  for (const { key, reason } of rejected) warn(`${key} is not used: ${reason}`, { cut: true });
}

/** `--range-length` for `rangeLength`. */
function optionOf(path: string): string {
  if (path === 'name') return '<name>';
  return `--${path.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`;
}
