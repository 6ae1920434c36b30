/**
 * Containers without a container runtime: named network namespaces of the host (`ip netns`), attached to its
 * bridge as Docker would. Nothing runs in one until a program is started there.
 */
import { randomBytes } from 'node:crypto';
import { Mac } from '../../base/mac.ts';
import { mapFamilies, valuesOf } from '../../base/per-family.ts';
import { parseInterfaceAddress } from '../../base/prefix.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { ensureBridge } from '../../sandbox/bridge.ts';
import { attach } from '../../sandbox/endpoint.ts';
import { Netns } from '../../sys/netns.ts';
import type { LabHost } from '../host/host.ts';
import type { ContainerRecord } from '../record/record.ts';
import type { HostSubnet } from './subnet-env.ts';

const BRIDGE = 'docker0';

type Subnet = Pick<HostSubnet, 'gateway' | 'mtu'>;

/** Of a host that leased none: that of Docker's default bridge, or with these addresses. */
export const unleased = (gateway: Subnet['gateway'] = DEFAULT_GATEWAY): Subnet => ({ gateway, mtu: 1500 });

const DEFAULT_GATEWAY = { ipv4: parseInterfaceAddress('172.17.0.1/16') };

/** Makes the bridge and the containers; of each family the first address is the bridge's, the next ones are theirs. */
export async function makeSandboxes(
  host: LabHost,
  route: Rtnetlink,
  names: readonly string[],
  subnet: Subnet,
): Promise<ContainerRecord[]> {
  const { gateway, mtu } = subnet;
  await ensureBridge(route, {
    name: BRIDGE,
    mac: Mac.random(randomBytes),
    addresses: valuesOf(gateway),
    mtu,
  });
  if (names.length > 0) {
    await host.run('ip', ['-batch', '-'], { input: names.map(name => `netns add ${name}\n`).join('') });
  }
  const records: ContainerRecord[] = [];
  for (const [index, name] of names.entries()) {
    const file = `/run/netns/${name}`;
    const addresses = mapFamilies(gateway, ({ ip, length }) => ({ ip: ip.plus(index + 1), length }));
    using netns = Netns.open(host.path(file));
    await using inside = connectRoute({ netns });
    await attach(
      route,
      { netns, route: inside },
      {
        hostLink: `veth-${name}`,
        bridge: BRIDGE,
        sandboxLink: 'eth0',
        addresses: valuesOf(addresses),
        routes: valuesOf(gateway).map(({ ip }) => ({ gateway: ip })),
        mtu,
      },
    );
    records.push({ name, ip: mapFamilies(addresses, ({ ip }) => ip.toString()), netns: file });
  }
  return records;
}
