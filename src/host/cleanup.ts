/**
 * Everything that Tulle or flannel leaves on a host when it stops, which is on purpose: containers keep talking
 * while the daemon is away. When it is not to come back, all of it can be found and removed.
 *
 *     routes and next hops   those that carry our protocol number
 *     devices                flannel.<VNI>, flannel-v6.<VNI>, flannel<N>, flannel-wg..., flannel.ipip, with
 *                            their routes, neighbors and FDB entries
 *     firewall rules         the chains and tables named after flannel
 *     files                  what Docker and CNI read, the state directory
 */
import { existsSync, lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from '../base/errors.ts';
import { parseShellVariables } from '../base/shell-variables.ts';
import { PROTOCOL } from '../dataplane/entry.ts';
import type { Firewall } from '../firewall/firewall.ts';
import type { Link, NewRoute, Route } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';

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
  /** Files and directories. */
  readonly paths: readonly string[];
}

const KINDS = ['vxlan', 'tun', 'wireguard', 'ipip'];

const kindOf = ({ info }: Link) => (info?.kind === 'other' ? info.name : info?.kind);

/** Finds everything, in the order in which it should go. */
export async function findLeftovers({ rtnetlink, firewall, paths }: CleanupOptions): Promise<Leftover[]> {
  const routes = await rtnetlink.routes.list({ protocol: PROTOCOL });
  const nexthops = (await rtnetlink.nexthops.list()).filter(({ protocol }) => protocol === PROTOCOL);
  const links = (await rtnetlink.links.list()).filter(isOurs);
  const rules = await firewall.cleanup({ dryRun: true });
  return [
    ...routes.map(route => ({
      what: `route ${route.destination ?? 'default'}`,
      remove: () => unlessGone(rtnetlink.routes.delete(keyOf(route))),
    })),
    ...nexthops.map(({ id }) => ({
      what: `next hop ${id}`,
      remove: () => unlessGone(rtnetlink.nexthops.delete(id)),
    })),
    ...links.map(({ name, index }) => ({
      what: `device ${name}`,
      remove: () => unlessGone(rtnetlink.links.delete(index)),
    })),
    ...(rules.length === 0
      ? []
      : [{ what: `firewall rules: ${rules.join('; ')}`, remove: () => firewall.cleanup({ dryRun: false }) }]),
    ...paths.filter(existsSync).map(path => ({
      what: path,
      remove: () => rm(path, { recursive: true, force: true }),
    })),
  ];
}

/** Where an agent of this host was told to keep its files. */
export interface AgentPlaces {
  readonly subnetFile: string;
  readonly socket: string;
  /** Absent: it is to be kept. */
  readonly stateDirectory?: string;
}

/**
 * The agent's files that are there. These places are given by a person, and root removes what is in them: whatever
 * does not look like the agent's own work stays, so that `--socket /etc` does no harm.
 */
export function agentFiles({ subnetFile, socket, stateDirectory }: AgentPlaces): string[] {
  return [
    ...(isFile(subnetFile) && isSubnetFile(readFileSync(subnetFile, 'utf8')) ? [subnetFile] : []),
    ...(statOf(socket)?.isSocket() === true ? [socket] : []),
    ...(stateDirectory === undefined ? [] : agentStateIn(stateDirectory)),
  ];
}

const isSubnetFile = (text: string) =>
  [...parseShellVariables(text).keys()].some(name => name.startsWith('FLANNEL_'));

/** All of a state directory, unless others are in it as well: the store's database is, by default. */
function agentStateIn(directory: string): string[] {
  if (statOf(directory)?.isDirectory() !== true) return [];
  const names = readdirSync(directory);
  const ours = names.filter(name => /^\.?(identity|known-[0-9a-f]+)\.json|^trust$/.test(name));
  return ours.length === names.length ? [directory] : ours.map(name => join(directory, name));
}

const isFile = (path: string) => statOf(path)?.isFile() === true;

/** Of the path itself, not of what a symbolic link leads to. */
const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

/** Somebody may have given another kind of device such a name. */
function isOurs(link: Link): boolean {
  return (
    /^flannel(-v6)?\.\w+$|^flannel\d+$|^flannel-wg/.test(link.name) && KINDS.includes(kindOf(link) ?? '')
  );
}

/** What tells a route from others. Its next hop must not be named twice, by id and as the kernel resolved it. */
function keyOf({ family, destination, table, protocol, priority }: Route): NewRoute {
  return {
    family,
    table,
    protocol,
    ...(destination === undefined ? {} : { destination }),
    ...(priority === undefined ? {} : { priority }),
  };
}

async function unlessGone(deleted: Promise<void>): Promise<void> {
  try {
    await deleted;
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ESRCH', 'ENODEV')) throw error;
  }
}
