/** The checks of underlay, neighbors and tunnel, each fault planted in a namespace of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkNeighbors } from '../../src/inspect/checks/neighbors.ts';
import { checkTunnel } from '../../src/inspect/checks/tunnel.ts';
import { checkUnderlay } from '../../src/inspect/checks/underlay.ts';
import type { HostReader } from '../../src/inspect/host/host-reader.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith, STATUS } from '../support/look-host.ts';

const check = async (host: HostReader) =>
  (await Promise.all([checkUnderlay, checkNeighbors, checkTunnel].map(one => one(host)))).flat();

interface Row {
  readonly plant: string;
  /** Code and severity of each finding. */
  readonly finds: readonly string[];
  /** Of the first reason. */
  readonly says: RegExp;
}

const rows: Readonly<Record<string, Row>> = {
  'the link is down': {
    plant: 'ip link set eth0 down',
    finds: ['UNDERLAY_LINK_DOWN error'],
    says: /eth0, the link to the other hosts, is down/,
  },
  'no carrier': {
    plant: 'ip link set cable down',
    finds: ['NO_CARRIER error'],
    says: /eth0, .* has no carrier/,
  },
  'the address is gone': {
    plant: 'ip addr del 192.168.65.3/24 dev eth0',
    finds: ['UNDERLAY_NO_ADDRESS error'],
    says: /eth0 does not have the address 192.168.65.3 any more/,
  },
  'a route ends packets for one peer': {
    plant: 'ip route add blackhole 192.168.65.4/32',
    finds: ['UNDERLAY_ROUTE error'],
    says: /type blackhole discards packets of docker1 for docker2 \(192.168.65.4\)$/,
  },
  'a route takes packets for one peer into the tunnel': {
    plant: 'ip route add 192.168.65.4/32 dev flannel.88',
    finds: ['UNDERLAY_ROUTE error'],
    says: /packets for docker2 .* leave by flannel.88, and not straight by eth0/,
  },
  'a route takes packets for one peer to another host': {
    plant: 'ip route add 192.168.65.4/32 via 192.168.65.77 dev eth0',
    finds: ['UNDERLAY_ROUTE warning'],
    says: /leave by eth0 via 192.168.65.77/,
  },
  'a policy rule ends tunnel packets alone': {
    plant: 'ip rule add ipproto udp dport 4789 prohibit priority 10',
    finds: ['POLICY_RULE error'],
    says: /policy rule discards packets of docker1 for docker2 .*docker3/,
  },
  'the address of a peer is on this host': {
    plant: 'ip addr add 192.168.65.4/32 dev lo',
    finds: ['DUPLICATE_UNDERLAY_ADDRESS error'],
    says: /docker1 has the address of docker2/,
  },
  'ARP is off': {
    plant: 'ip link set eth0 arp off',
    finds: ['ARP_OFF error'],
    says: /eth0 does without ARP/,
  },
  'no ARP is answered': {
    plant: 'sysctl -qw net.ipv4.conf.eth0.arp_ignore=8',
    finds: ['ARP_OFF error'],
    says: /answers no ARP on eth0/,
  },
  'a fixed MAC address of a peer': {
    plant: 'ip neigh replace 192.168.65.4 lladdr 02:00:00:00:00:99 dev eth0 nud permanent',
    finds: ['UNDERLAY_NEIGHBOR warning'],
    says: /the MAC address of 192.168.65.4, the address of docker2, is fixed by hand/,
  },
  'the MAC address of another peer': {
    plant: `ip neigh replace 192.168.65.5 lladdr 02:00:00:00:00:05 dev eth0 nud reachable extern_learn
      ip neigh replace 192.168.65.4 lladdr 02:00:00:00:00:05 dev eth0 nud permanent`,
    finds: ['UNDERLAY_NEIGHBOR error'],
    says: /02:00:00:00:00:05 is that of docker3/,
  },
  'the device is missing': {
    plant: 'ip link del flannel.88',
    finds: ['TUNNEL_MISSING error'],
    says: /flannel.88, the device of the overlay, does not exist/,
  },
  'the device is down': {
    plant: 'ip link set flannel.88 down',
    finds: ['TUNNEL_DOWN error'],
    says: /flannel.88, the device of the overlay, is down/,
  },
  'the device sends from another address': {
    plant: `ip addr add 192.168.65.33/24 dev eth0; ip link set flannel.88 down
      ip link set flannel.88 type vxlan local 192.168.65.33; ip link set flannel.88 up
      for peer in 2 3; do ip neigh replace 10.3.$peer.0 lladdr 02:00:00:00:01:0$peer dev flannel.88 nud permanent; done`,
    finds: ['TUNNEL_LOCAL error'],
    says: /sends from 192.168.65.33, .*\(192.168.65.3\)/,
  },
  'the device takes more than the underlay carries': {
    plant: 'ip link set eth0 mtu 1400',
    finds: ['UNDERLAY_MTU warning'],
    says: /eth0 carries 1350 bytes of flannel.88, which takes 1450/,
  },
  'the device takes less than containers send': {
    plant: 'ip link set flannel.88 mtu 1400',
    finds: ['TUNNEL_MTU warning'],
    says: /flannel.88 takes packets of 1400 bytes, and containers send up to 1450/,
  },
  'no FDB entry': {
    plant: 'bridge fdb del 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 self',
    finds: ['TUNNEL_FDB error'],
    says: /frames for docker2 \(10.3.2.0\/24\) are sent nowhere/,
  },
  'an FDB entry of another host': {
    plant: `bridge fdb del 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 self
      bridge fdb add 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.5 self permanent`,
    finds: ['TUNNEL_FDB error'],
    says: /sent to a wrong host: its address is 192.168.65.4/,
  },
  'an FDB entry with another port': {
    plant: `bridge fdb del 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 self
      bridge fdb add 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 port 4790 self permanent`,
    finds: ['TUNNEL_FDB error'],
    says: /sent to UDP port 4790, where it does not listen/,
  },
  'an FDB entry with another VNI': {
    plant: `bridge fdb del 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 self
      bridge fdb add 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 vni 89 self permanent`,
    finds: ['TUNNEL_FDB error'],
    says: /sent with the VNI 89, which it drops/,
  },
  'no FDB entry, and one of a bridge for another peer': {
    plant: `ip link set flannel.88 master docker0
      bridge fdb add 02:00:00:00:01:02 dev flannel.88 master static
      bridge fdb del 02:00:00:00:01:03 dev flannel.88 dst 192.168.65.5 self`,
    finds: ['TUNNEL_FDB error'],
    says: /frames for docker3 \(10.3.3.0\/24\) are sent nowhere/,
  },
  'an FDB entry over another link': {
    plant: `bridge fdb del 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 self
      bridge fdb add 02:00:00:00:01:02 dev flannel.88 dst 192.168.65.4 via cable self permanent`,
    finds: ['TUNNEL_FDB error'],
    says: /sent over cable, and not as the host sends to it/,
  },
  'a wrong neighbor entry in the tunnel': {
    plant: 'ip neigh replace 10.3.3.0 lladdr 02:00:00:00:01:77 dev flannel.88 nud permanent',
    finds: ['TUNNEL_NEIGHBOR error'],
    says: /docker3 .* has a wrong neighbor entry on flannel.88: .* 02:00:00:00:01:03/,
  },
};

describe('underlay, neighbors and tunnel', needsRoot, () => {
  test('a healthy host has no findings', async () => {
    const plant = `ip neigh replace 192.168.65.4 lladdr 02:00:00:00:00:04 dev eth0 nud reachable extern_learn
      ip neigh replace 192.168.65.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
      ip route add default via 192.168.65.1; ip route add blackhole 192.168.66.0/24
      ip link add vx9 type vxlan id 9 dstport 4789 dev eth0; ip link set vx9 up`;
    assert.deepEqual(await lookWith(check, { plant }), []);
  });

  test('of a peer behind a router the neighbor is the router', async () => {
    const peers = STATUS.peers.map(peer => ({
      ...peer,
      publicIp: { ipv4: '172.16.0.4' },
    }));
    const plant = `ip route add default via 192.168.65.1 dev eth0
      for peer in 2 3; do bridge fdb replace 02:00:00:00:01:0$peer dev flannel.88 dst 172.16.0.4 self permanent; done
      ip neigh replace 192.168.65.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent`;
    const [first, ...more] = await lookWith(check, { plant, status: { peers } });
    assert.match(first?.reason ?? '', /192.168.65.1, the router to docker2, docker3, is fixed/);
    assert.deepEqual(more, []);
  });

  for (const [name, { plant, finds, says }] of Object.entries(rows)) {
    test(name, async () => {
      const causes = await lookWith(check, { plant });
      assert.deepEqual(
        causes.map(({ code, severity }) => `${code} ${severity}`),
        finds,
        JSON.stringify(causes, undefined, 1),
      );
      assert.match(causes[0]?.reason ?? '', says);
    });
  }
});
