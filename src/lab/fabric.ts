/**
 * The underlay: a bridge in a namespace of its own, and one cable to each host. In the root namespace the
 * machine's own firewall would see bridged frames (br_netfilter), and dockerd's FORWARD policy would drop them.
 */
import type { Ip } from '../base/ip.ts';
import { type PerFamily, valuesOf } from '../base/per-family.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { Netns } from '../sys/netns.ts';
import { UNDERLAY } from './plan.ts';

const BRIDGE = 'underlay';
/** Name of a host's link to the underlay. */
export const UPLINK = 'eth0';

/** Makes the bridge. */
export async function createUnderlay(fabric: Rtnetlink): Promise<void> {
  await fabric.links.add({ name: BRIDGE, up: true, info: { kind: 'bridge', multicastSnooping: false } });
}

/** Plugs a host in: the port has the host's name, the host's end is `eth0` with its addresses. */
export async function plugIn(
  fabric: Rtnetlink,
  host: {
    readonly name: string;
    readonly address: PerFamily<Ip>;
    readonly netns: Netns;
    readonly route: Rtnetlink;
  },
): Promise<void> {
  const bridge = await fabric.links.get(BRIDGE);
  await fabric.links.add({
    name: host.name,
    info: { kind: 'veth', peer: { name: UPLINK, netnsFd: host.netns.fd } },
    up: true,
    ...(bridge === undefined ? {} : { master: bridge.index }),
  });
  await host.route.links.change('lo', { up: true });
  await host.route.links.change(UPLINK, { up: true });
  const uplink = await host.route.links.get(UPLINK);
  for (const ip of valuesOf(host.address)) {
    await host.route.addresses.replace({
      index: uplink?.index ?? 0,
      ip,
      length: UNDERLAY[ip.family]?.length ?? 0,
    });
  }
}
