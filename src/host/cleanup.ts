/**
 * Everything that Tulle or flannel leaves on a host for a network when it stops, which is on purpose: containers keep
 * talking while the daemon is away. When it is not to come back, all of it can be found and removed. It is ours when
 * it names a block of our networks (src/ownership):
 *
 *     devices                flannel.<VNI>, flannel-v6.<VNI>, flannel<N>, flannel-wg..., flannel.ipip, with
 *                            their routes, neighbors and FDB entries
 *     routes and next hops   those that carry our protocol number, over such a device or to such a block
 *     forwarder              the program behind a device of the backend udp
 *     firewall rules         in the chains and tables named after flannel
 *     programs               of the fast path, at any link of this host
 *     resolver               its address on loopback, which its label shows to be ours, and its table of nftables
 *     published ports        their table of nftables
 *     tunnels                those of `tulle tunnel`, which their records show to be ours
 *     commands               what those of an extension backend have made (src/extension)
 *     files                  what Docker and CNI read, the state directory
 */

import { existsSync, lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Prefix } from '../base/prefix.ts';
import { filesBeside } from '../console/defaults.ts';
import { PROTOCOL } from '../dataplane/tables/entry.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { findForwarder, stopForwarder } from '../forwarder/managed-forwarder.ts';
import { pidFile } from '../forwarder/predecessor.ts';
import { linkKind } from '../netlink/route/link-info.ts';
import type { Link, NewRoute, Route } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { unlessGone } from '../netlink/unless-gone.ts';
import { deviceOwner } from '../ownership/device.ts';
import { ownerByNetwork, ownerOf } from '../ownership/owner.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';

/** One thing that was left behind. */
export interface Leftover {
  /** In the words of the tool that shows it: `device flannel.1`, `route 10.5.3.0/24`. */
  readonly what: string;
  /** Already gone is success. */
  readonly remove: () => Promise<unknown>;
}

export interface CleanupOptions {
  readonly rtnetlink: Rtnetlink;
  readonly firewall: Pick<Firewall, 'cleanup'>;
  /** Of which all traces are to go. */
  readonly networks: readonly Prefix[];
  /** Control socket of the agent's forwarder. */
  readonly forwarder: string;
  /** Files and directories. */
  readonly paths: readonly string[];
}

export interface Findings {
  /** In the order in which it should go. */
  readonly leftovers: readonly Leftover[];
  /** Devices with names like ours that are not of these networks, and what shows it. */
  readonly kept: readonly string[];
}

const KINDS = ['vxlan', 'tun', 'wireguard', 'ipip'];

const kindOf = ({ info }: Link) => info && linkKind(info);

/** Finds everything. @throws NetlinkError, FirewallError, SysError */
export async function findLeftovers(options: CleanupOptions): Promise<Findings> {
  const { rtnetlink, firewall, networks, paths } = options;
  const { ours, kept } = await findDevices(rtnetlink, networks);
  const devices = new Set<number | undefined>(ours.map(({ index }) => index));
  const isNamed = (block: Prefix | undefined) => block !== undefined && ownerOf([block], networks) === 'ours';
  const routes = (await rtnetlink.routes.list({ protocol: PROTOCOL })).filter(
    ({ oif, destination }) => devices.has(oif) || isNamed(destination),
  );
  const nexthops = (await rtnetlink.nexthops.list()).filter(
    ({ protocol, oif, gateway }) =>
      protocol === PROTOCOL && (devices.has(oif) || isNamed(gateway && Prefix.ofOne(gateway))),
  );
  const forwarder = await findForwarder(options.forwarder);
  const rules = await firewall.cleanup({ networks, dryRun: true });
  const leftovers = [
    ...routes.map(route => ({
      what: `route ${route.destination ?? 'default'}`,
      remove: () => unlessGone(rtnetlink.routes.delete(keyOf(route))),
    })),
    ...nexthops.map(({ id }) => ({
      what: `next hop ${id}`,
      remove: () => unlessGone(rtnetlink.nexthops.delete(id)),
    })),
    ...(forwarder !== undefined && ours.some(({ name }) => name === forwarder.device)
      ? [{ what: `forwarder of ${forwarder.device}`, remove: () => stopForwarder(options.forwarder) }]
      : []),
    ...ours.map(({ name, index }) => ({
      what: `device ${name}`,
      remove: () => unlessGone(rtnetlink.links.delete(index)),
    })),
    ...(rules.length === 0
      ? []
      : [
          {
            what: `firewall rules: ${rules.join('; ')}`,
            remove: () => firewall.cleanup({ networks, dryRun: false }),
          },
        ]),
    ...paths.filter(existsSync).map(path => ({
      what: path,
      remove: () => rm(path, { recursive: true, force: true }),
    })),
  ];
  return { leftovers, kept };
}

async function findDevices(
  rtnetlink: Rtnetlink,
  networks: readonly Prefix[],
): Promise<{ readonly ours: readonly Link[]; readonly kept: readonly string[] }> {
  const ours: Link[] = [];
  const kept: string[] = [];
  for (const link of (await rtnetlink.links.list()).filter(hasOurName)) {
    const { owner, evidence } = await deviceOwner(rtnetlink, link.index, networks);
    if (owner === 'ours') ours.push(link);
    else
      kept.push(
        `device ${link.name}: ${evidence.length === 0 ? 'its network is unknown' : evidence.join(', ')}`,
      );
  }
  return { ours, kept };
}

/** Where an agent of this host keeps its files. */
export interface AgentFiles {
  readonly networks: readonly Prefix[];
  readonly subnetFile: string;
  readonly socket: string;
  /** Absent: it is to be kept. */
  readonly stateDirectory?: string;
}

/**
 * The agent's files that are there. These paths are given by a person, and root removes what is in them: whatever
 * does not look like the agent's own work stays, so that `--socket /etc` is harmless.
 */
export function agentFiles({ networks, subnetFile, socket, stateDirectory }: AgentFiles): string[] {
  return [
    ...(isFile(subnetFile) && isOfNetwork(readFileSync(subnetFile, 'utf8'), networks) ? [subnetFile] : []),
    ...(statOf(socket)?.isSocket() === true ? [socket] : []),
    ...forwarderFiles(socket),
    ...(stateDirectory === undefined ? [] : agentStateIn(stateDirectory)),
  ];
}

/** Its sockets and files lie beside the agent's. */
function forwarderFiles(agentSocket: string): string[] {
  const { control, logFile } = filesBeside(agentSocket);
  return [
    ...(statOf(control)?.isSocket() === true ? [control] : []),
    ...[pidFile(control), logFile].filter(isFile),
  ];
}

const isOfNetwork = (subnetFile: string, networks: readonly Prefix[]) =>
  ownerByNetwork(blocksOf(parseSubnetEnv(subnetFile).network), networks) === 'ours';

/** All of a state directory, unless others are in it as well: the store's database is, by default. */
function agentStateIn(directory: string): string[] {
  if (statOf(directory)?.isDirectory() !== true) return [];
  const names = readdirSync(directory);
  const ours = names.filter(name =>
    /^\.?(identity|tunnels|attachments|(known|commands|addresses)-([0-9a-f]+|overlay))\.json|^trust$/.test(
      name,
    ),
  );
  return ours.length === names.length ? [directory] : ours.map(name => join(directory, name));
}

const isFile = (path: string) => statOf(path)?.isFile() === true;

/** Of the path itself, not of what a symbolic link leads to. */
const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

/** Another kind of device may have such a name. */
function hasOurName(link: Link): boolean {
  const isNamed = /^fl(annel)?(-v6)?\.\w+$|^flannel\d+$|^flannel-wg/.test(link.name);
  return isNamed && KINDS.includes(kindOf(link) ?? '');
}

/** What identifies a route. Its next hop must not be named twice, by id and as the kernel resolved it. */
function keyOf({ family, destination, table, protocol, priority }: Route): NewRoute {
  return {
    family,
    table,
    protocol,
    ...(destination === undefined ? {} : { destination }),
    ...(priority === undefined ? {} : { priority }),
  };
}
