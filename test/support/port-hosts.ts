/**
 * A host with two L2 networks, and somebody outside who knows no way to them:
 *
 *     web   10.88.0.2 --+                                       host 192.0.2.1 --o-- 192.0.2.2 outside
 *     other 10.88.0.3 --+-- tb-blue  10.88.0.1 fd88::1               fd77::1         fd77::2
 *     green 10.89.0.2 ----- tb-green 10.89.0.1 fd89::1
 */
import process from 'node:process';
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { Watchable } from '../../src/base/watchable.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { connectNetfilter } from '../../src/netlink/netfilter/connect.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { attachmentLinks } from '../../src/network/attachment/attachment-links.ts';
import { openPorts } from '../../src/network/ports/open-ports.ts';
import type { PublishingNetwork, PublishWish } from '../../src/network/ports/publisher.ts';
import type { OwnedWarning } from '../../src/network/reports.ts';
import { run } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { Namespace } from './neighbourhood.ts';
import { serveSources } from './source-server.ts';

const networkOf = (name: string, number: number): PublishingNetwork => ({
  name,
  bridge: `tb-${name}`,
  subnets: { ipv4: Prefix.parse(`10.${number}.0.0/16`), ipv6: Prefix.parse(`fd${number}::/64`) },
  gateways: { ipv4: Ip.parse(`10.${number}.0.1`), ipv6: Ip.parse(`fd${number}::1`) },
});

export const BLUE = networkOf('blue', 88);
export const GREEN = networkOf('green', 89);

export const HOST = { ipv4: '192.0.2.1', ipv6: 'fd77::1' } as const;
export const OUTSIDE = { ipv4: '192.0.2.2', ipv6: 'fd77::2' } as const;

export interface Station extends Pick<PublishWish, 'id' | 'container' | 'addresses' | 'network'> {
  readonly place: Namespace;
}

export async function portHosts(t: TestContext) {
  const [host, outside] = [new Namespace(t), new Namespace(t)];
  for (const { netns } of [host, outside]) prepare(netns);
  await host.do('ip link set lo up');
  await host.cable('o', `${HOST.ipv4}/24`, outside, `${OUTSIDE.ipv4}/24`);
  await host.do(`ip addr add ${HOST.ipv6}/64 dev o nodad`);
  await outside.do('ip link set lo up', `ip addr add ${OUTSIDE.ipv6}/64 dev o nodad`);
  for (const parameter of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
    writeSysctl(`net/${parameter}`, '1', host.netns);
  for (const { bridge, gateways } of [BLUE, GREEN]) {
    await host.do(
      `ip link add ${bridge} type bridge forward_delay 0`,
      `ip addr add ${gateways.ipv4}/16 dev ${bridge}`,
      `ip addr add ${gateways.ipv6}/64 dev ${bridge} nodad`,
      `ip link set ${bridge} up`,
    );
  }
  const station = async (container: string, network: PublishingNetwork, number: number): Promise<Station> => {
    const place = new Namespace(t);
    prepare(place.netns);
    const subnet = (family: 'ipv4' | 'ipv6') => (network.subnets[family] as Prefix).ip.plus(number);
    const addresses = { ipv4: subnet('ipv4'), ipv6: subnet('ipv6') };
    const id = `id-${container}`;
    const { host: link } = attachmentLinks(id);
    await host.do(
      `ip link add ${link} type veth peer name eth0 netns /proc/${process.pid}/fd/${place.netns.fd}`,
      `ip link set ${link} master ${network.bridge} up`,
    );
    await place.do(
      'ip link set lo up',
      'ip link set eth0 up',
      `ip addr add ${addresses.ipv4}/16 dev eth0`,
      `ip addr add ${addresses.ipv6}/64 dev eth0 nodad`,
      `ip route add default via ${network.gateways.ipv4}`,
      `ip route add default via ${network.gateways.ipv6}`,
    );
    for (const address of Object.values(addresses))
      await serveSources(t, place.netns, container, address, 80);
    return { place, id, container, addresses, network };
  };
  const web = await station('web', BLUE, 2);
  const other = await station('other', BLUE, 3);
  const green = await station('green', GREEN, 2);
  for (const one of [host, outside, web.place, other.place, green.place]) await one.ready();
  const rtnetlink = connectRoute({ netns: host.netns });
  t.after(() => rtnetlink[Symbol.asyncDispose]());
  const warnings = new Map<string, readonly OwnedWarning[]>();
  /** The rules of an agent that has both networks. */
  const firewall = (nftables: boolean) =>
    new Firewall({
      log: recordingLogger(),
      run: (program, args, options) => run(program, args, { ...options, namespaces: host.namespaces }),
    }).apply({
      nftables,
      blocks: [],
      segments: [BLUE, GREEN].map(({ bridge, subnets, gateways }) => ({
        bridge,
        bridges: 'tb-*',
        subnets,
        gateways,
        port: 4789,
      })),
      masquerade: true,
      forward: true,
      randomFully: true,
    });
  const open = (prefix = '/coreos.com/network') => {
    const netfilter = connectNetfilter({ netns: host.netns });
    t.after(() => netfilter[Symbol.dispose]());
    const ports = openPorts({
      netns: host.netns,
      registry: { prefix },
      netfilter,
      rtnetlink,
      network: { host: new Watchable(undefined), attachments: { get: () => undefined } },
      run: (program, args, options) => run(program, args, { ...options, namespaces: host.namespaces }),
      health: { warn: (owner, those) => void warnings.set(owner, those) },
      clock: systemClock,
      logger: recordingLogger(),
    });
    return ports;
  };
  const list = async (...args: string[]) =>
    (await run('nft', args, { namespaces: host.namespaces, anyStatus: true })).stdout;
  return { host, outside, web, other, green, firewall, open, list, warnings };
}

function prepare(netns: Namespace['netns']): void {
  writeSysctl('net/ipv6/conf/all/disable_ipv6', '0', netns);
}
