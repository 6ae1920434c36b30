/**
 * The veth pair of an attachment, in the kernel.
 *
 *     tulle makes      tv1f0c41d2a7e3 ===== eth0            in the namespace of the container (CNI)
 *                      tv1f0c41d2a7e3 ===== te1f0c41d2a7e3   both here; the engine moves the other end (Docker)
 *
 * The alias is what makes it an attachment, and is given last but for the place on the bridge. A link of such a name without
 * one is what was begun.
 */
import { isCode, messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { familiesOf, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { NetlinkError } from '../../netlink/errors.ts';
import { change } from '../../netlink/route/change.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import { attach, type EndpointRoute } from '../../sandbox/endpoint.ts';
import { SandboxError } from '../../sandbox/errors.ts';
import { Netns } from '../../sys/netns.ts';
import { parseAttachmentAlias } from './attachment-alias.ts';
import type { AttachmentLinks } from './attachment-links.ts';
import { AttachmentError, type ContainerNetwork } from './attachments.ts';
import { detachedAlias } from './detached-links.ts';

/** include/uapi/asm-generic/errno-base.h. */
const EEXIST = 17;

export interface VethSpec {
  readonly links: AttachmentLinks;
  readonly network: ContainerNetwork;
  readonly mac: Mac;
  readonly addresses: PerFamily<Ip>;
  readonly alias: string;
}

/**
 * Both ends here; the container's has its MAC address and nothing else.
 * @param recorded what must be written down before anything is made
 * @throws SandboxError, NetlinkError, EEXIST for a link of this name; nothing remains
 */
export async function makePair(
  host: Rtnetlink,
  { links, network, mac, alias }: VethSpec,
  recorded: Promise<void>,
): Promise<void> {
  const { bridge: name, mtu } = network;
  const [bridge, former] = await Promise.all([host.links.get(name), host.links.get(links.host), recorded]);
  if (bridge?.info?.kind !== 'bridge') throw SandboxError.noBridge(name);
  const peer = { name: links.container, mtu, mac };
  const made = change.addLink({ name: links.host, mtu, info: { kind: 'veth', peer } });
  // The second of the two requests would be done to a link that is there, whosever it is.
  if (former !== undefined) throw new NetlinkError('RTM_NEWLINK', made.what, EEXIST);
  // The kernel takes them in this order, in one step.
  const attached = change.changeLink(links.host, { alias, master: bridge.index, up: true });
  const [refusal, failure] = await host.apply([made, attached]);
  if (refusal !== undefined) throw refusal;
  if (failure === undefined) return;
  await unlessGone(host.links.delete(links.host));
  throw unlessFull(name, failure);
}

/**
 * The other end in the namespace of a container, with its addresses and routes.
 * @param home the namespace of this host, which is none to attach
 * @throws AttachmentError for a namespace that cannot be used; SandboxError, NetlinkError. Nothing remains
 */
export async function makeInside(
  host: Rtnetlink,
  home: Netns,
  { path, link }: { readonly path: string; readonly link: string },
  { links, network, mac, addresses, alias }: VethSpec,
): Promise<void> {
  using netns = openSandbox(path, home);
  await using route = connectRoute({ netns, aside: true });
  if ((await route.links.get(link)) !== undefined) {
    throw new AttachmentError('INVALID_WISH', `${path} has a link ${link} already`);
  }
  const ips = valuesOf(addresses);
  const spec = {
    hostLink: links.host,
    bridge: network.bridge,
    sandboxLink: link,
    addresses: ips.map(ip => ({ ip, length: network.subnets[ip.family]?.length ?? 0 })),
    routes: await routesFor(route, network, addresses),
    mtu: network.mtu,
    mac,
    alias,
  };
  try {
    await attach(host, { netns, route }, spec);
  } catch (error) {
    throw unlessFull(network.bridge, error);
  }
}

/** A bridge has 1023 ports (BR_MAX_PORTS of net/bridge/br_private.h); one more is EXFULL. */
function unlessFull(bridge: string, cause: unknown): unknown {
  if (!isCode(cause, 'ERRNO_54')) return cause;
  return new AttachmentError(
    'NO_ROOM',
    `the bridge ${bridge} has 1023 ports, and no bridge of Linux has more`,
    {
      cause,
      hint: 'attach further containers of this host to another network',
    },
  );
}

/** A default route for families that have none yet; what the network reaches beyond its subnet in any case. */
async function routesFor(
  route: Rtnetlink,
  { gateways, networks, subnets }: ContainerNetwork,
  addresses: PerFamily<Ip>,
): Promise<readonly EndpointRoute[]> {
  const ways: EndpointRoute[] = [];
  for (const family of familiesOf(addresses)) {
    const [gateway, destination] = [gateways[family], networks[family]];
    if (gateway === undefined) continue;
    const present = await route.routes.list({ family, table: RT_TABLE_MAIN });
    if (!present.some(one => one.destination === undefined)) ways.push({ gateway });
    else if (destination !== undefined && !destination.equals(subnets[family])) {
      ways.push({ gateway, destination });
    }
  }
  return ways;
}

/** @throws AttachmentError */
export function openSandbox(path: string, home: Netns): Netns {
  let netns: Netns;
  try {
    netns = Netns.open(path);
  } catch (cause) {
    const what = isCode(cause, 'ENOENT', 'ESRCH') ? 'there is no such file' : messageOf(cause);
    throw new AttachmentError('INVALID_WISH', `the network namespace ${path}: ${what}`, { cause });
  }
  const refuse = (why: string) => {
    netns[Symbol.dispose]();
    return new AttachmentError('INVALID_WISH', `${path} is ${why}`);
  };
  if (netns.inode === home.inode) throw refuse('the network namespace of this host itself');
  try {
    netns.run(() => undefined);
  } catch {
    throw refuse('no network namespace');
  }
  return netns;
}

/** Deletes the pair, if it is that of this attachment or what was begun of it. @returns whether there was one */
export async function removeVeth(host: Rtnetlink, link: Link | undefined, id: string): Promise<boolean> {
  if (link === undefined || !isVethOf(link, id)) return false;
  await unlessGone(host.links.delete(link.index));
  return true;
}

/** Whether a link with the name of an attachment is its own; also what is left of a former one. */
export function isVethOf({ info, alias }: Link, id: string): boolean {
  if (info?.kind !== 'veth') return false;
  return alias === undefined || alias === detachedAlias(id) || parseAttachmentAlias(alias)?.id === id;
}
