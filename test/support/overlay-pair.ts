/**
 * Two hosts made of network namespaces, each with containers on a bridge, joined as vxlan of flannel joins them:
 *
 *     c 10.5.1.2 --veth-c-- br0 10.5.1.1 near 192.0.2.1 eth0 === eth0 192.0.2.2 far br0 10.5.2.1 --veth-c-- c 10.5.2.2
 *     d 10.5.1.3 --veth-d--'     vx1 10.5.1.0 ---- VNI 1, UDP 8472 ---- vx1 10.5.2.0
 *
 * The same numbers are in fd05::/16 (fd05:0:0:1::2 is c of near) and, for the underlay, in fd00::/64.
 */
import type { TestContext } from 'node:test';
import { start } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { Namespace } from './neighbourhood.ts';

export interface OverlayHost {
  readonly host: Namespace;
  readonly container: Namespace;
}

export interface OverlayPair {
  readonly near: OverlayHost & { readonly second: Namespace };
  readonly far: OverlayHost;
}

export async function overlayPair(t: TestContext, underlay: 'ipv4' | 'ipv6' = 'ipv4'): Promise<OverlayPair> {
  const [near, far] = [new Namespace(t), new Namespace(t)];
  await near.cable('eth0', '192.0.2.1/24', far, '192.0.2.2/24');
  const base = underlay === 'ipv4' ? '192.0.2.' : 'fd00::';
  await Promise.all([overlay(near, base, 1, 2), overlay(far, base, 2, 1)]);
  const [container, other, second] = await Promise.all([
    addContainer(t, near, { name: 'c', number: 1, last: 2 }),
    addContainer(t, far, { name: 'c', number: 2, last: 2 }),
    addContainer(t, near, { name: 'd', number: 1, last: 3 }),
  ]);
  for (const one of [near, far, container, other, second]) await one.ready();
  return { near: { host: near, container, second }, far: { host: far, container: other } };
}

const macOf = (number: number) => `02:00:00:00:00:0${number}`;

async function overlay(host: Namespace, base: string, own: number, other: number): Promise<void> {
  writeSysctl('net/ipv4/ip_forward', '1', host.netns);
  writeSysctl('net/ipv6/conf/all/forwarding', '1', host.netns);
  await host.do(
    'ip link set lo up',
    `ip addr add fd00::${own}/64 dev eth0 nodad`,
    `ip link add vx1 address ${macOf(own)} type vxlan id 1 dstport 8472 local ${base}${own} dev eth0 nolearning`,
    `ip addr add 10.5.${own}.0/32 dev vx1`,
    'ip link set vx1 up',
    `ip route add 10.5.${other}.0/24 via 10.5.${other}.0 dev vx1 onlink`,
    `ip neigh add 10.5.${other}.0 lladdr ${macOf(other)} dev vx1 nud permanent`,
    `bridge fdb append ${macOf(other)} dev vx1 dst ${base}${other}`,
    `ip addr add fd05:0:0:${own}::/128 dev vx1 nodad`,
    `ip route add fd05:0:0:${other}::/64 via fd05:0:0:${other}:: dev vx1 onlink`,
    `ip neigh add fd05:0:0:${other}:: lladdr ${macOf(other)} dev vx1 nud permanent`,
    'ip link add br0 type bridge',
    `ip addr add 10.5.${own}.1/24 dev br0`,
    `ip addr add fd05:0:0:${own}::1/64 dev br0 nodad`,
    'ip link set br0 up',
  );
}

interface ContainerShape {
  readonly name: string;
  /** Of its host. */
  readonly number: number;
  /** Last byte of its address. */
  readonly last: number;
}

/** A process keeps its namespace, as that of a container does. */
async function addContainer(t: TestContext, host: Namespace, shape: ContainerShape): Promise<Namespace> {
  const { name, number, last } = shape;
  const container = new Namespace(t);
  const init = await start('sleep', ['600'], { namespaces: container.namespaces });
  t.after(() => init.kill('SIGKILL'));
  await host.do(
    `ip link add veth-${name} type veth peer name eth0 netns ${container.namespaces.net}`,
    `ip link set veth-${name} master br0 up`,
  );
  await container.do(
    'ip link set lo up',
    `ip addr add 10.5.${number}.${last}/24 dev eth0`,
    `ip addr add fd05:0:0:${number}::${last}/64 dev eth0 nodad`,
    'ip link set eth0 up',
    `ip route add default via fd05:0:0:${number}::1`,
    `ip route add default via 10.5.${number}.1`,
  );
  return container;
}
