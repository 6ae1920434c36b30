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

/** Whether the namespace has a link of this name. @throws CniError INVALID_NETNS; SysError, NetlinkError */
export async function hasLink(path: string, name: string): Promise<boolean> {
  using netns = openNetns(path);
  await using route = connectRoute({ netns });
  return (await route.links.get(name)) !== undefined;
}

/** Of which families the namespace has a default route. @throws CniError INVALID_NETNS; SysError, NetlinkError */
export async function defaultRoutesIn(path: string): Promise<readonly Family[]> {
  using netns = openNetns(path);
  await using route = connectRoute({ netns });
  const families: Family[] = [];
  for (const family of FAMILIES) {
    const routes = await route.routes.list({ family, table: RT_TABLE_MAIN });
    if (routes.some(({ destination }) => destination === undefined)) families.push(family);
  }
  return families;
}

function openNetns(path: string): Netns {
  try {
    return Netns.open(path);
  } catch (cause) {
    throw new CniError('INVALID_NETNS', `the network namespace ${path} cannot be opened`, { cause });
  }
}
