/** What this host has, as far as the planning of one tunnel needs it: read at one moment, and read again after changes. */
import type { Ip } from '../../base/ip.ts';
import { NetlinkError } from '../../netlink/errors.ts';
import type { Address, Link, Route } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { BoundPort } from '../../sys/udp-ports.ts';
import type { Attachment } from './attachment.ts';
import type { TunnelSpec } from './spec.ts';

export interface TunnelFacts {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** The way of a packet to the other host; undefined when there is none, or frames go to a group. */
  readonly way?: Route;
  /** Routes over the underlay link that was named. */
  readonly overDev: readonly Route[];
  /** The bridge that it is to be a port of. */
  readonly attachment?: Attachment;
}

/** What is looked at besides when a tunnel is asked for. */
export interface ClashFacts extends TunnelFacts {
  /** All of the main table. */
  readonly routes: readonly Route[];
  readonly ports: readonly BoundPort[];
}

/** @throws NetlinkError, SysError */
export async function readFacts(
  rtnetlink: Rtnetlink,
  spec: TunnelSpec,
  findBridge: (name: string, links: readonly Link[]) => Promise<Attachment>,
): Promise<TunnelFacts> {
  const [links, addresses] = await Promise.all([rtnetlink.links.list(), rtnetlink.addresses.list()]);
  const dev = links.find(({ name }) => name === spec.dev);
  const way = spec.remote.isMulticast ? undefined : await wayTo(rtnetlink, spec.remote);
  const overDev = dev && way?.oif !== dev.index ? await rtnetlink.routes.list({ oif: dev.index }) : [];
  const attachment = spec.attach === undefined ? undefined : await findBridge(spec.attach, links);
  return { links, addresses, overDev, ...(way && { way }), ...(attachment && { attachment }) };
}

/** undefined when there is none, which the kernel says in several ways: unreachable, prohibited, a black hole. */
async function wayTo(rtnetlink: Rtnetlink, destination: Ip): Promise<Route | undefined> {
  try {
    return await rtnetlink.routes.lookup(destination);
  } catch (error) {
    if (error instanceof NetlinkError) return undefined;
    throw error;
  }
}
