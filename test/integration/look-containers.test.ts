/**
 * The checks of containers and their bridge: each fault planted on a host of its own with two containers, and what looks
 * like one and is none.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { checkBridgeFirewall } from '../../src/inspect/checks/bridge-firewall.ts';
import type { Cause, HostCheck } from '../../src/inspect/checks/check.ts';
import { CONTAINER_CHECKS } from '../../src/inspect/checks/container-checks.ts';
import { stillUnfinished } from '../../src/inspect/checks/settled.ts';
import type { HostReader } from '../../src/inspect/host/host-reader.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith } from '../support/look-host.ts';

/** Two containers behind docker0; `$c1` and `$c2` are the names of their namespaces, `in1` and `in2` run a command there. */
const CONTAINERS = `
  in1() { ip netns exec $c1 "$@"; }
  in2() { ip netns exec $c2 "$@"; }
  container() {
    ip link add veth-$1 mtu 1450 type veth peer name eth0 mtu 1450 address $4 netns $2
    ip link set veth-$1 master docker0 up
    ip -n $2 link set lo up
    ip -n $2 link set eth0 up
    ip -n $2 addr add $3/24 dev eth0
    ip -n $2 route add default via 10.3.1.1
  }
  sysctl -qw net.ipv4.conf.docker0.rp_filter=0
  container c1 $c1 10.3.1.2 02:00:00:00:0c:01
  container c2 $c2 10.3.1.3 02:00:00:00:0c:02
  settled veth-c1 veth-c2
`;

/**
 * Code -> what is planted, one fault a line. A static FDB entry is planted `sticky`: another one goes back to its port with
 * the next frame of the container, and new links send the first ones by themselves (IPv6).
 */
const FAULTS: Readonly<Record<string, string>> = {
  CONTAINER_LINK_DOWN: 'in1 ip link set eth0 down',
  CONTAINER_NO_ADDRESS: 'in1 ip addr flush dev eth0 scope global',
  CONTAINER_FOREIGN_ADDRESS: `
    in1 ip addr flush dev eth0 scope global; in1 ip addr add 10.3.2.9/24 dev eth0
    in1 ip addr flush dev eth0 scope global; in1 ip addr add 10.99.0.2/24 dev eth0`,
  CONTAINER_WRONG_NETMASK: `
    in1 ip addr add 10.3.1.2/16 dev eth0; in1 ip addr del 10.3.1.2/24 dev eth0; in1 ip route replace default via 10.3.1.1`,
  CONTAINER_NO_DEFAULT_ROUTE: 'in1 ip route del default',
  CONTAINER_WRONG_GATEWAY: 'in1 ip route replace default via 10.3.1.77',
  CONTAINER_ROUTE: `
    in1 ip route add blackhole 10.3.2.0/24
    in1 ip route add unreachable 10.3.3.7
    in1 ip route add 10.3.3.0/24 dev lo
    in1 ip route add 10.3.3.0/24 dev eth0
    in1 ip route add 10.3.2.2 via 10.3.1.99
    in1 ip route replace blackhole default`,
  CONTAINER_SOURCE: `
    in1 ip addr add 10.99.0.1/32 dev lo; in1 ip route replace default via 10.3.1.1 src 10.99.0.1`,
  CONTAINER_RULE: `
    in1 ip rule add to 10.3.2.0/24 prohibit
    in1 ip rule add ipproto tcp prohibit
    in1 ip rule add from 10.3.1.2 lookup 99; in1 ip route add blackhole default table 99`,
  TRANSLATED: `
    in1 iptables -t nat -A OUTPUT -d 10.3.2.0/24 -j DNAT --to 127.0.0.1
    in1 nft 'table ip t { chain c { type nat hook postrouting priority 100; ip daddr 10.3.0.0/16 snat to 10.1.2.3; }; }'`,
  TC_DROP: 'in1 tc qdisc add dev eth0 root blackhole',
  RATE_LIMIT: 'in1 tc qdisc add dev eth0 root tbf rate 1kbit burst 200 limit 200',
  CONTAINER_GATEWAY_MAC: 'in1 ip neigh replace 10.3.1.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent',
  CONTAINER_NEIGHBOR: `
    in1 ip neigh replace 10.3.1.3 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
    ip neigh replace 10.3.1.2 lladdr 02:00:00:00:00:99 dev docker0 nud permanent`,
  CONTAINER_IGNORES_ECHO: 'in1 sysctl -qw net.ipv4.icmp_echo_ignore_all=1',
  CONTAINER_TTL: 'in1 sysctl -qw net.ipv4.ip_default_ttl=2',
  CONTAINER_FIREWALL: `
    in1 iptables -P INPUT DROP
    in1 iptables -A INPUT -s 10.3.2.0/24 -j DROP
    in1 iptables -A OUTPUT -p icmp -j DROP
    in1 nft 'table inet t { chain c { type filter hook prerouting priority 0; iifname eth0 drop; }; }'
    in1 nft 'table netdev t { chain c { type filter hook ingress device eth0 priority 0; ip saddr 10.3.0.0/16 drop; }; }'`,
  ARP_OFF: `
    in1 ip link set eth0 arp off
    in1 sysctl -qw net.ipv4.conf.all.arp_ignore=8
    ip link set docker0 arp off
    sysctl -qw net.ipv4.conf.docker0.arp_ignore=8`,
  STRICT_RP_FILTER: `
    ip link add other type bridge; ip link set other up; ip link add o1 master other type veth peer name eth1 netns $c1; ip link set o1 up; in1 ip link set eth1 up; in1 ip addr add 10.99.0.2/24 dev eth1; in1 ip route replace default via 10.99.0.1; in1 sysctl -qw net.ipv4.conf.all.rp_filter=1`,
  DUPLICATE_ADDRESS: `
    in1 ip addr add 10.3.1.3/24 dev eth0
    in1 ip addr add 10.3.1.1/24 dev eth0`,
  DUPLICATE_MAC: 'in1 ip link set eth0 address 02:00:00:00:0c:02',
  BRIDGE_DOWN: 'ip link set docker0 down',
  BRIDGE_NO_ADDRESS: 'ip addr flush dev docker0 scope global',
  BRIDGE_NETMASK: 'ip addr add 10.3.1.1/31 dev docker0; ip addr del 10.3.1.1/24 dev docker0',
  BRIDGE_PORT_DETACHED: `
    ip link set veth-c1 nomaster
    ip link add other up type bridge; ip link set veth-c1 master other`,
  BRIDGE_PORT_DOWN: 'ip link set veth-c1 down',
  BRIDGE_PORT_NOT_FORWARDING: 'bridge link set dev veth-c1 state 0',
  BRIDGE_PORT_FLOOD: `
    bridge link set dev veth-c1 bcast_flood off
    bridge link set dev veth-c1 flood off learning off`,
  BRIDGE_PORT_ISOLATED: 'bridge link set dev veth-c1 isolated on; bridge link set dev veth-c2 isolated on',
  BRIDGE_FDB: `
    bridge fdb replace 02:00:00:00:0c:01 dev veth-c2 master static sticky
    bridge fdb replace 02:00:00:00:0c:01 dev docker0 self permanent`,
  BRIDGE_FIREWALL: `
    nft 'table bridge t { chain f { type filter hook forward priority 0; drop; }; }'
    nft 'table bridge t { chain f { type filter hook forward priority 0; policy drop; }; }'`,
  CONTAINER_MTU: `
    in1 ip link set eth0 mtu 9000
    in1 ip link set eth0 mtu 1000`,
  FORMER_SUBNET: 'ip link add other type bridge; ip addr add 10.3.77.1/24 dev other',
  DOCKER_SUBNET: 'ip link add br-0123456789ab type bridge; ip addr add 10.3.2.1/24 dev br-0123456789ab',
};

const HARMLESS = `
  in1 ip route add blackhole 10.50.0.0/16
  in1 ip rule add from 10.50.0.1 prohibit
  in1 ip neigh replace 10.3.1.1 lladdr $(ip -br link show docker0 | awk '{ print $3 }') dev eth0 nud permanent
  in1 iptables -A FORWARD -j DROP; in1 iptables -A INPUT -p tcp --dport 23 -j DROP
  in1 iptables -P INPUT DROP; in1 iptables -A INPUT -i lo -j ACCEPT; in1 iptables -A INPUT -p tcp --dport 80 -j ACCEPT
  in1 iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE; in1 iptables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to 8080
  in1 iptables -t nat -A OUTPUT -d 127.0.0.11 -p udp -j DNAT --to 127.0.0.11:4000
  ip link add other type bridge; ip addr add 10.50.0.1/24 dev other; ip link set veth-c1 nomaster; in1 ip link del eth0
  ip link add o1 type veth peer name eth1 netns $c1; ip addr add 10.51.0.1/24 dev o1; in1 ip addr add 10.51.0.2/24 dev eth1
  ip link add other type bridge; ip link set other up; ip link add o1 master other type veth peer name eth1 netns $c1; ip link set o1 up; in1 ip link set eth1 up; in1 ip route add 10.3.2.0/24 dev eth1
  ip link set veth-c1 nomaster; ip route add 10.3.1.2 dev veth-c1; sysctl -qw net.ipv4.conf.veth-c1.proxy_arp=1
  ip addr add 10.60.0.1/24 dev docker0; in1 ip addr add 10.60.0.2/24 dev eth0
  in1 ip addr add 10.3.1.2/16 dev eth0; in1 ip addr del 10.3.1.2/24 dev eth0; sysctl -qw net.ipv4.conf.docker0.proxy_arp=1
  in1 ip link del eth0; ip link add veth-c1 mtu 1450 master docker0 type veth peer name eth0 mtu 1450 netns $c1; ip link set veth-c1 up; in1 ip link add br0 type bridge; in1 ip link set eth0 master br0 up`;

const linesOf = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');

describe('containers and their bridge', needsRoot, () => {
  test('a healthy host has no findings', async () => assert.deepEqual(await findings(''), []));

  for (const [code, plants] of Object.entries(FAULTS)) {
    for (const plant of linesOf(plants)) {
      test(`${code}: ${plant}`, async () => {
        const found = await findings(plant);
        assert.deepEqual([...new Set(found.map(one => one.code))], [code], JSON.stringify(found, null, 1));
        for (const { evidence, remedy } of found) assert.ok(evidence.length > 0 && remedy !== '');
      });
    }
  }

  for (const plant of linesOf(HARMLESS)) {
    test(`no finding: ${plant}`, async () => assert.deepEqual(await findings(plant), []));
  }

  test('a container that is being started is not taken for a broken one', async () => {
    const starts = {
      'ip link set eth0 down': 'link set eth0 up',
      'ip addr flush dev eth0 scope global': 'addr add 10.3.1.2/24 dev eth0',
    };
    for (const [before, after] of Object.entries(starts)) {
      await findings(`in1 ${before}; in2 ${before}`, undefined, async host => {
        const { members } = await host.members();
        const still = await stillUnfinished(members, async () => {
          const [name = ''] = members
            .map(({ container }) => container.name)
            .filter(one => one.endsWith('c1'));
          execFileSync('ip', ['-n', name, ...after.split(' ')]);
        });
        assert.deepEqual(
          Array.from(still, ({ container }) => container.name.slice(-2)),
          ['c2'],
          before,
        );
        return [];
      });
    }
  });

  test('without an agent the kernel and the bridge say enough', async () => {
    // The subnet file is not there either: nothing is known of the overlay, and nothing is judged.
    assert.deepEqual(await findings('in1 ip route del default', null), []);
  });
});

async function findings(plant: string, status?: null, check: HostCheck = checkAll): Promise<Cause[]> {
  const names = ['c1', 'c2'].map(name => `tulle-${randomBytes(4).toString('hex')}-${name}`);
  const [c1 = '', c2 = ''] = names;
  try {
    for (const name of names) Netns.create(name)[Symbol.dispose]();
    return await lookWith(check, {
      plant: `c1=${c1}; c2=${c2}\n${CONTAINERS}\n${plant}`,
      ...(status === null && { status }),
    });
  } finally {
    for (const name of names) Netns.delete(name);
  }
}

async function checkAll(host: HostReader): Promise<Cause[]> {
  const checks = [...CONTAINER_CHECKS.map(({ check }) => check), checkBridgeFirewall];
  return (await Promise.all(checks.map(check => check(host)))).flat();
}
