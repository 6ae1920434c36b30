/** How an attachment in the kernel differs from how it was made: one sentence each. */
import { valuesOf } from '../../base/per-family.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { Netns } from '../../sys/netns.ts';
import { attachmentLinks } from './attachment-links.ts';
import type { RecordedAttachment } from './attachment-record.ts';
import type { ContainerNetwork } from './attachments.ts';
import { isDetached } from './detached-links.ts';
import { isVethOf, openSandbox } from './veth.ts';

export interface KernelView {
  readonly rtnetlink: Rtnetlink;
  /** Of this host. */
  readonly netns: Netns;
}

/** @param network undefined when this host does not have it (any more) @throws NetlinkError */
export async function driftOf(
  attachment: RecordedAttachment,
  network: ContainerNetwork | undefined,
  { rtnetlink, netns }: KernelView,
): Promise<readonly string[]> {
  const { id, sandbox } = attachment;
  const { host: name } = attachmentLinks(id);
  const link = await rtnetlink.links.get(name);
  if (link === undefined) return [`the link ${name} is gone`];
  if (!isVethOf(link, id) || link.alias === undefined || isDetached(link))
    return [`the link ${name} is not that of this container`];
  if (network === undefined) return [`there is no network ${attachment.network} on this host any more`];
  const bridge = await rtnetlink.links.get(network.bridge);
  return [
    ...(bridge === undefined ? [`the bridge ${network.bridge} is gone`] : []),
    ...(bridge !== undefined && link.master !== bridge.index
      ? [`${name} is no port of ${network.bridge}`]
      : []),
    ...(link.up ? [] : [`${name} is down`]),
    ...(sandbox === undefined ? [] : await driftInside(attachment, sandbox, network, netns)),
  ];
}

async function driftInside(
  { mac, addresses }: RecordedAttachment,
  sandbox: { readonly path: string; readonly link: string },
  { mtu, gateways }: ContainerNetwork,
  home: Netns,
): Promise<readonly string[]> {
  let inside: Netns;
  try {
    inside = openSandbox(sandbox.path, home);
  } catch {
    return [`the network namespace ${sandbox.path} is gone`];
  }
  using _ = inside;
  await using route = connectRoute({ netns: inside });
  const link = await route.links.get(sandbox.link);
  if (link === undefined) return [`the link ${sandbox.link} in the container is gone`];
  const present = await route.addresses.list({ index: link.index });
  const missing = valuesOf(addresses).filter(ip => !present.some(one => one.ip.equals(ip)));
  const drift = [
    ...missing.map(ip => `${sandbox.link} in the container does not have the address ${ip}`),
    ...(link.up ? [] : [`${sandbox.link} in the container is down`]),
    ...(mac.equals(link.mac)
      ? []
      : [`${sandbox.link} in the container has the MAC address ${link.mac}, not ${mac}`]),
    ...((link.mtu ?? mtu) <= mtu
      ? []
      : [`${sandbox.link} in the container has an MTU of ${link.mtu}, not ${mtu}`]),
  ];
  for (const ip of valuesOf(addresses)) {
    if (gateways[ip.family] === undefined) continue;
    const routes = await route.routes.list({ family: ip.family });
    const hasWay = routes.some(
      ({ gateway, destination }) => gateway !== undefined || destination === undefined,
    );
    if (!hasWay) drift.push(`the container has no route by way of ${gateways[ip.family]}`);
  }
  return drift;
}
