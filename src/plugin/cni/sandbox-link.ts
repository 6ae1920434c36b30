/** A container's namespace as a call names it: where it can be opened, and what is in it already. */
import { statSync } from 'node:fs';
import type { CniCall } from '../../api/cni.ts';
import { FAMILIES, type Family } from '../../base/ip.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import { Netns } from '../../sys/netns.ts';
import { CniError } from './cni-error.ts';

/**
 * The path by which this process can open it: the one that the runtime named, where that is the same namespace here, else
 * what the launcher holds open, because the runtime has mounts of its own.
 * @throws CniError INVALID_NETNS
 */
export function sandboxPathOf(
  netns: string,
  { own, sandbox, sandboxPath }: Pick<CniCall, 'own' | 'sandbox' | 'sandboxPath'>,
  mayBeHost: boolean,
): string {
  if (sandbox === undefined || sandboxPath === undefined)
    throw new CniError('INVALID_NETNS', `the network namespace ${netns} cannot be opened`);
  if (sandbox === own && !mayBeHost)
    throw new CniError('INVALID_NETNS', `${netns} is the network namespace of the host itself`);
  return isSame(netns, sandbox) ? netns : sandboxPath;
}

/** A plugin that was started elsewhere would attach to bridges of another host. @throws CniError INVALID_NETNS */
export function assertSameHost(own: string): void {
  using here = Netns.current();
  if (own === nameOf(here.inode)) return;
  throw new CniError('INVALID_NETNS', 'the plugin runs in another network namespace than the agent', {
    hint: 'name the socket of the agent of that host in the configuration ("socket")',
  });
}

function isSame(path: string, namespace: string): boolean {
  try {
    return nameOf(statSync(path).ino) === namespace;
  } catch {
    return false;
  }
}

const nameOf = (inode: number) => `net:[${inode}]`;

/** What a namespace has already. */
export interface SandboxContent {
  /** Whether there is a link of the name that was asked for. */
  readonly hasLink: boolean;
  /** Families that have a default route. */
  readonly defaultRoutes: readonly Family[];
}

/** @throws CniError INVALID_NETNS; SysError, NetlinkError */
export async function contentOf(path: string, link: string): Promise<SandboxContent> {
  using netns = openNetns(path);
  await using route = connectRoute({ netns, aside: true });
  const hasLink = (await route.links.get(link)) !== undefined;
  const defaultRoutes: Family[] = [];
  for (const family of FAMILIES) {
    const routes = await route.routes.list({ family, table: RT_TABLE_MAIN });
    if (routes.some(({ destination }) => destination === undefined)) defaultRoutes.push(family);
  }
  return { hasLink, defaultRoutes };
}

function openNetns(path: string): Netns {
  try {
    return Netns.open(path);
  } catch (cause) {
    throw new CniError('INVALID_NETNS', `the network namespace ${path} cannot be opened`, { cause });
  }
}
