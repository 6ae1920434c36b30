/**
 * Two hosts with a container each and a tunnel of VXLAN between them, made by hand, for the fast path:
 *
 *     container 10.9.1.2 --c-- 10.9.1.1 host 192.0.2.1 --eth0-- 192.0.2.2 host 10.9.2.1 --c-- 10.9.2.2 container
 */
import type { TestContext } from 'node:test';
import type { StoreLink } from '../../src/dataplane/tables/store.ts';
import { FastPath, type FastPathOptions } from '../../src/fastpath/fast-path.ts';
import { programName } from '../../src/fastpath/programs/build.ts';
import { ROLES, type Role } from '../../src/fastpath/roles.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { Namespace } from './neighbourhood.ts';

const VNI = 1;
const PORT = 8472;
export const OWNER = '/coreos.com/network';

export interface TunnelHost {
  readonly space: Namespace;
  readonly container: Namespace;
  readonly links: Readonly<Record<(typeof ROLES)[Role]['at'], StoreLink>>;
}

/** The address of the container of the second host. */
export const SECOND_CONTAINER = '10.9.2.2';

export async function fastPathHosts(t: TestContext): Promise<readonly [TunnelHost, TunnelHost]> {
  const [one, other] = [new Namespace(t), new Namespace(t)];
  await one.cable('eth0', '192.0.2.1/24', other, '192.0.2.2/24');
  return [await tunnelHost(t, one, 1, 2), await tunnelHost(t, other, 2, 1)];
}

async function tunnelHost(t: TestContext, space: Namespace, own: number, peer: number): Promise<TunnelHost> {
  const container = new Namespace(t);
  await space.cable('c', `10.9.${own}.1/24`, container, `10.9.${own}.2/24`);
  const mac = (host: number) => `02:00:00:00:00:0${host}`;
  await space.do(
    `ip link add flannel.${VNI} address ${mac(own)} type vxlan id ${VNI} dev eth0 local 192.0.2.${own} dstport ${PORT} nolearning`,
    `ip addr add 10.9.${own}.0/32 dev flannel.${VNI}`,
    `ip link set flannel.${VNI} up`,
    `ip route add 10.9.${peer}.0/24 via 10.9.${peer}.0 dev flannel.${VNI} onlink`,
    `ip neigh add 10.9.${peer}.0 lladdr ${mac(peer)} dev flannel.${VNI}`,
    `bridge fdb append ${mac(peer)} dev flannel.${VNI} dst 192.0.2.${peer}`,
    'ip link set c mtu 1450',
  );
  await container.do(`ip route add default via 10.9.${own}.1`, 'ip link set c mtu 1450');
  writeSysctl('net/ipv4/ip_forward', '1', space.netns);
  await using rtnetlink = connectRoute({ netns: space.netns });
  const link = async (name: string) => ({ name, index: (await rtnetlink.links.get(name))?.index ?? 0 });
  return { space, container, links: { 'host end': await link('c'), uplink: await link('eth0') } };
}

/** Attaches the four programs. */
export async function openFastPathAt(
  links: TunnelHost['links'],
  options: Partial<FastPathOptions>,
): Promise<FastPath> {
  const fastPath = await FastPath.open({ owner: OWNER, ...options });
  fastPath.setTunnels([{ port: PORT, vni: VNI }]);
  for (const role of Object.keys(ROLES) as Role[]) {
    const { at, point } = ROLES[role];
    await fastPath.attach(links[at], point, programName(role, VNI));
  }
  return fastPath;
}
