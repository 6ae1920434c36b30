/**
 * The MTU of what shares a bridge with a tunnel. A frame that a container sends and the tunnel cannot carry is dropped
 * without a word, so the bridge, its veth ports and their other ends in the containers get the tunnel's MTU. What each had
 * is remembered, and given back when the tunnel is deleted.
 *
 *     container eth0 --- veth --- bridge --- vxlan (1450)
 */

import { isCode, messageOf } from '../../base/errors.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import type { Netns } from '../../sys/netns.ts';
import { networkNamespaces } from '../../sys/netns-search.ts';

/** A link whose MTU was lowered. */
export interface Fitted {
  readonly bridge: string;
  /** Inode of its namespace; 0 for that of this host. */
  readonly netns: number;
  readonly index: number;
  readonly name: string;
  /** Index of the port of the bridge that it is, or is behind; the bridge's own for the bridge. */
  readonly port: number;
  /** MTU before, and the one that it was given. */
  readonly was: number;
  readonly now: number;
}

export interface FitResult {
  /** Everything that is lowered for the bridge now, before or just so. */
  readonly fitted: readonly Fitted[];
  /** Ports whose other side keeps a larger MTU, one sentence each. */
  readonly notes: readonly string[];
}

/** What there is to fit. */
export interface FitTarget {
  readonly bridge: string;
  readonly mtu: number;
  /** Name of the tunnel's own link. */
  readonly except: string;
}

/**
 * Ports that were looked behind, with what there is to say of each. To look again would mean to enter every container of
 * this host whenever one of its links changes.
 */
export type Visited = Map<string, string | undefined>;

/** Where a link is: the host's connection or one into a container. */
interface Place {
  readonly netns: number;
  readonly links: Pick<Rtnetlink['links'], 'get' | 'change'>;
}

/**
 * Lowers what is larger than wanted on a bridge and behind its veth ports.
 * @param before what was lowered earlier: it has its first MTU in mind
 * @throws NetlinkError, SysError
 */
export async function fitMembers(
  rtnetlink: Rtnetlink,
  { bridge, mtu, except }: FitTarget,
  before: readonly Fitted[],
  visited: Visited,
): Promise<FitResult> {
  const links = await rtnetlink.links.list();
  const switchLink = links.find(({ name }) => name === bridge);
  if (switchLink === undefined) return { fitted: before, notes: [] };
  const here: Place = { netns: 0, links: rtnetlink.links };
  const refused: string[] = [];
  const isThere = (port: number) => links.some(({ index }) => index === port);
  for (const key of visited.keys()) if (!isThere(Number.parseInt(key, 10))) visited.delete(key);
  // What is behind a port goes with it.
  const fitted = before.filter(({ port }) => isThere(port));
  const lower = async (place: Place, link: Link, port: Link) => {
    const was = link.mtu ?? 0;
    const { netns } = place;
    const { index, name } = link;
    const sought = isPort({ netns, index, port: port.index });
    const at = fitted.findIndex(one => one.port === port.index && isPort(one) === sought);
    const first = at < 0 ? undefined : fitted[at];
    if (was <= mtu) {
      // Docker makes both ends of a container's link on the host, and moves one of them away then.
      if (first?.now === was) fitted[at] = { ...first, netns, index, name };
      return;
    }
    try {
      await place.links.change(link.index, { mtu });
    } catch (error) {
      // What is gone needs none.
      if (!isCode(error, 'ENODEV')) refused.push(`the MTU of ${link.name} stays ${was}: ${messageOf(error)}`);
      return;
    }
    if (at >= 0) fitted.splice(at, 1);
    // Another program may have given it back what it had.
    const lowered = first?.now === was ? first.was : was;
    fitted.push({ bridge, netns, index, name, port: port.index, was: lowered, now: mtu });
  };
  const ports = links.filter(link => link.master === switchLink.index && link.name !== except);
  const veths = ports.filter(isVeth);
  const keys = new Map(veths.map(port => [port, `${port.index} ${port.netnsId} ${port.lower} ${mtu}`]));
  const isNew = (port: Link) => !visited.has(keys.get(port) ?? '');
  await withPeers({ rtnetlink, here, links }, veths.filter(isNew), async (port, place, peer) => {
    const isReached = place !== undefined && peer !== undefined;
    if (isReached) await lower(place, peer, port);
    visited.set(keys.get(port) ?? '', isReached ? undefined : unreachable(port, mtu));
  });
  for (const port of veths) await lower(here, port, port);
  await lower(here, switchLink, switchLink);
  const large = ports.filter(port => !isVeth(port) && !isTunnelPort(port) && (port.mtu ?? 0) > mtu);
  const notes = [
    ...veths.map(port => visited.get(keys.get(port) ?? '')),
    ...large.map(port => largePort(port, mtu)),
  ];
  return { fitted, notes: [...notes.filter(note => note !== undefined), ...refused] };
}

/**
 * Gives links their former MTU back: those that have the one that was given to them. What is gone is left.
 * @throws NetlinkError, SysError
 */
export async function unfitMembers(rtnetlink: Rtnetlink, fitted: readonly Fitted[]): Promise<void> {
  const restore = async (place: Place, { index, name, port, was, now }: Fitted) => {
    const link = await place.links.get(index);
    // The inode of a namespace may be another's by now.
    const isSame = link?.name === name && (place.netns === 0 || link.lower === port);
    if (isSame && link.mtu === now) await place.links.change(index, { mtu: was });
  };
  for (const one of fitted) if (one.netns === 0) await restore({ netns: 0, links: rtnetlink.links }, one);
  const wanted = new Set(fitted.map(({ netns }) => netns).filter(netns => netns !== 0));
  if (wanted.size === 0) return;
  for (const netns of networkNamespaces()) {
    using _ = netns;
    if (!wanted.delete(netns.inode)) continue;
    await inside(netns, async place => {
      for (const one of fitted) if (one.netns === netns.inode) await restore(place, one);
    });
    if (wanted.size === 0) return;
  }
}

/** Whether it is the port, and not the other end of its cable. */
const isPort = ({ netns, index, port }: Pick<Fitted, 'netns' | 'index' | 'port'>) =>
  netns === 0 && index === port;

const isVeth = ({ info }: Link) => info?.kind === 'veth';
const isTunnelPort = ({ info }: Link) => info?.kind === 'vxlan';

type OnPeer = (port: Link, place: Place | undefined, peer: Link | undefined) => Promise<void>;

/** Visits the other end of each port: without a place when its namespace cannot be entered. */
async function withPeers(
  {
    rtnetlink,
    here,
    links,
  }: { readonly rtnetlink: Rtnetlink; readonly here: Place; readonly links: readonly Link[] },
  ports: readonly Link[],
  visit: OnPeer,
): Promise<void> {
  const byNetns = Map.groupBy(ports, ({ netnsId }) => netnsId);
  for (const port of byNetns.get(undefined) ?? []) {
    const peer = links.find(({ index }) => index === port.lower);
    // A cable to another bridge: what is behind that is not the business of this tunnel.
    if (peer !== undefined && peer.master === undefined) await visit(port, here, peer);
  }
  byNetns.delete(undefined);
  for (const netns of byNetns.size === 0 ? [] : networkNamespaces()) {
    using _ = netns;
    const id = await rtnetlink.netnsId(netns.fd);
    const members = id === undefined ? undefined : byNetns.get(id);
    if (members === undefined) continue;
    byNetns.delete(id);
    await inside(netns, async place => {
      for (const port of members) {
        const peer = port.lower === undefined ? undefined : await place.links.get(port.lower);
        if (peer?.lower === port.index && isVeth(peer)) await visit(port, place, peer);
      }
    });
    if (byNetns.size === 0) return;
  }
  for (const port of [...byNetns.values()].flat()) await visit(port, undefined, undefined);
}

/** A namespace that goes meanwhile takes its links with it. */
async function inside(netns: Netns, work: (place: Place) => Promise<void>): Promise<void> {
  await using rtnetlink = connectRoute({ netns });
  await unlessGone(work({ netns: netns.inode, links: rtnetlink.links }));
}

const unreachable = ({ name }: Link, mtu: number) =>
  `what is behind ${name} is in a namespace that cannot be entered: if its MTU is larger than ${mtu}, lower it there`;

const largePort = ({ name, mtu }: Link, least: number) =>
  `${name} is a port with MTU ${mtu}: frames of more than ${least} bytes from behind it do not pass the tunnel; lower it on every machine there`;
