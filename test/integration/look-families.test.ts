/** A dual-stack bridge, and a container of it, without addresses of one family. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { checkBridges } from '../../src/inspect/checks/bridge.ts';
import { checkContainerAddresses } from '../../src/inspect/checks/container-address.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith, readWith, STATUS } from '../support/look-host.ts';

const dual = {
  underlay: { ...STATUS.underlay, ip: { ipv4: '192.168.65.3', ipv6: 'fd65::3' } },
  lease: { ...STATUS.lease, subnet: { ipv4: '10.3.1.0/24', ipv6: 'fd03:1::/64' } },
} as typeof STATUS;

const container = (name: string) => `
  in1() { ip netns exec ${name} "$@"; }
  ip addr add fd03:1::1/64 dev docker0 nodad
  ip link add veth-c1 mtu 1450 type veth peer name eth0 mtu 1450 netns ${name}
  ip link set veth-c1 master docker0 up
  in1 ip link set eth0 up
  in1 ip addr add 10.3.1.2/24 dev eth0
  in1 ip addr add fd03:1::2/64 dev eth0 nodad
  in1 ip route add default via 10.3.1.1
  in1 ip -6 route add default via fd03:1::1 dev eth0
`;

const FAULTS = {
  'in1 ip -6 addr flush dev eth0 scope global': /has no IPv6 address.* over IPv6$/,
  'in1 ip -4 addr flush dev eth0': /has no IPv4 address.* over IPv4$/,
};

const HARMLESS = [
  'true',
  'in1 sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1',
  'ip addr del fd03:1::1/64 dev docker0; in1 ip -6 addr flush dev eth0 scope global',
];

describe('a container of a dual-stack bridge', needsRoot, () => {
  for (const [plant, reason] of Object.entries(FAULTS)) {
    test(`is named without addresses of one family: ${plant}`, async () => {
      const found = await findings(plant);
      assert.deepEqual(
        found.map(({ code, severity }) => [code, severity]),
        [['CONTAINER_NO_ADDRESS', 'error']],
      );
      assert.match(found[0]?.reason ?? '', reason);
    });
  }

  for (const plant of HARMLESS) {
    test(`no finding: ${plant}`, async () => assert.deepEqual(await findings(plant), []));
  }

  test('gets the gateway back where IPv6 was turned off on the bridge, which refuses addresses', async () => {
    await withContainer(async name => {
      const plant = `${container(name)}\nsysctl -qw net.ipv6.conf.docker0.disable_ipv6=1`;
      await readWith(
        async host => {
          const [cause, ...others] = await checkBridges(host);
          assert.deepEqual([cause?.code, others], ['BRIDGE_NO_ADDRESS', []]);
          assert.ok(cause?.evidence.includes('net.ipv6.conf.docker0.disable_ipv6 = 1'));
          const shown = `${cause?.remedy}; ip -6 addr show docker0`;
          const after = host.netns.run(() => execFileSync('sh', ['-ec', shown], { encoding: 'utf8' }));
          assert.match(after, /inet6 fd03:1::1\/64/);
        },
        { plant, status: dual },
      );
    });
  });
});

const findings = (plant: string) =>
  withContainer(name =>
    lookWith(checkContainerAddresses, { plant: `${container(name)}\n${plant}`, status: dual }),
  );

async function withContainer<T>(use: (name: string) => Promise<T>): Promise<T> {
  const name = `tulle-${randomBytes(4).toString('hex')}`;
  try {
    Netns.create(name)[Symbol.dispose]();
    return await use(name);
  } finally {
    Netns.delete(name);
  }
}
