/** What container engines had attached to networks of this host: links that are known by their alias or the agent's record, and the overlay's bridge. */
import { silentLogger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import type { Link } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { unlessGone } from '../netlink/unless-gone.ts';
import { attachmentLinks } from '../network/attachment/attachment-links.ts';
import { AttachmentRecord } from '../network/attachment/attachment-record.ts';
import { isDetached } from '../network/attachment/detached-links.ts';
import { OVERLAY_BRIDGE, overlayPorts } from '../network/attachment/overlay-bridge.ts';
import { isVethOf } from '../network/attachment/veth.ts';
import { deviceOwner } from '../ownership/device.ts';
import type { Leftover } from './cleanup.ts';

export interface AttachmentLeftoverOptions {
  readonly rtnetlink: Rtnetlink;
  /** Of which all traces are to go. */
  readonly networks: readonly Prefix[];
  /** Of the agent. */
  readonly stateDirectory: string;
}

/** What is attached to an L2 network is found with that network too. The ports go before their bridge. @throws NetlinkError */
export async function attachmentLeftovers({
  rtnetlink,
  networks,
  stateDirectory,
}: AttachmentLeftoverOptions): Promise<readonly Leftover[]> {
  const links = await rtnetlink.links.list();
  const byName = new Map(links.map(link => [link.name, link]));
  const found = new Map<string, { readonly link: Link; readonly what: string }>();
  const add = (link: Link, container?: string) => {
    const of = container === undefined ? '' : ` of ${container}`;
    found.set(link.name, { link, what: `device ${link.name}${of}` });
  };
  const record = new AttachmentRecord(stateDirectory, silentLogger);
  await record.open();
  for (const { id, container } of record.values()) {
    const link = byName.get(attachmentLinks(id).host);
    if (link !== undefined && isVethOf(link, id)) add(link, container);
  }
  for (const link of links) if (isDetached(link)) add(link);
  for (const { link, ips, container } of overlayPorts(links)) {
    if (ips.some(ip => networks.some(network => network.contains(ip)))) add(link, container);
  }
  const bridge = byName.get(OVERLAY_BRIDGE);
  if (bridge?.info?.kind === 'bridge') {
    const { owner } = await deviceOwner(rtnetlink, bridge.index, networks);
    if (owner === 'ours') add(bridge);
  }
  return Array.from(found.values(), ({ link: { index }, what }) => ({
    what,
    remove: () => unlessGone(rtnetlink.links.delete(index)),
  }));
}
