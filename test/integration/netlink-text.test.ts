/** Our words for the kernel's objects are those of `ip` and `bridge`, line by line, in a namespace full of objects. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Link } from '../../src/netlink/route/objects.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import {
  addressLine,
  fdbLine,
  neighborLine,
  nexthopLine,
  routeLine,
  ruleLine,
} from '../../src/netlink/text/entries.ts';
import { linkInfoWords, linkLine, linkNames, type NameOf } from '../../src/netlink/text/link.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';

const SETUP = `
  sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
  ip link set lo up
  ip link add eth0 address 02:00:00:00:00:aa type veth peer name peer0
  ip link add br0 type bridge ageing_time 1000 mcast_snooping 0
  ip link set peer0 master br0
  for link in eth0 peer0 br0; do ip link set $link up; done
  ip addr add 192.168.65.3/24 dev eth0 brd + label eth0:1
  ip addr add 10.0.0.1 peer 10.0.0.2/32 dev eth0
  ip addr add 192.168.65.5/24 dev eth0
  ip addr add fd00::1/64 dev eth0 nodad
  ip addr add fd09::1/64 dev eth0 nodad noprefixroute
  ip link add flannel.88 mtu 1450 type vxlan id 88 local 192.168.65.3 dev eth0 dstport 4789 nolearning
  ip link set flannel.88 up
  ip link add vxm type vxlan id 89 group 239.1.1.1 dev eth0 dstport 4790 srcport 1000 2000 tos 4 ttl 9 df set \
    proxy rsc l2miss l3miss ageing 60 maxaddr 5 noudpcsum udp6zerocsumtx udp6zerocsumrx remcsumtx remcsumrx gbp
  ip link add vx6 type vxlan id 90 remote fd00::2 local fd00::1 dstport 4792 ttl inherit tos inherit flowlabel 0x12345
  ip link add vxe type vxlan external dstport 4791
  ip link set vxe up
  ip link add link eth0 name mv0 type macvlan mode bridge
  ip tuntap add tun0 mode tun
  ip nexthop add id 5 via 10.3.2.0 dev flannel.88 onlink proto 77
  ip nexthop add id 6 blackhole
  ip nexthop add id 7 via fd00::9 dev eth0
  ip nexthop add id 9 dev eth0 proto static
  ip nexthop add id 10 dev eth0 proto bird
  ip route add 10.3.2.0/24 nhid 5 proto 77
  ip route add 10.4.0.0/16 via 192.168.65.9 dev eth0 table 1000 metric 7 mtu 1300 proto static
  ip route add default via 192.168.65.1 src 192.168.65.3
  ip route add blackhole 10.9.0.0/16
  ip route add unreachable 10.10.0.0/16 metric 4
  ip route add 10.5.0.0/16 encap ip id 88 dst 192.168.65.4 ttl 64 dev vxe
  ip route add 10.6.0.1 dev eth0
  ip route add 10.7.0.0/24 via 10.7.0.0 dev flannel.88 onlink proto 77
  ip route add 10.8.0.0/24 nexthop via 192.168.65.7 dev eth0 nexthop via 192.168.65.8 dev eth0 weight 3
  ip route add 10.11.0.0/16 dev eth0 tos 0x10
  ip -6 route add fd01::/64 via fd00::9 dev eth0 onlink
  ip -6 route add fd02::/64 dev eth0 metric 5 proto bird
  ip neigh add 10.3.2.0 lladdr 02:00:00:00:00:01 dev flannel.88 nud permanent
  ip neigh add 192.168.65.20 lladdr 02:00:00:00:00:02 dev eth0 nud reachable
  ip neigh add 192.168.65.21 lladdr 02:00:00:00:00:02 dev eth0 nud permanent extern_learn proto 77
  ip neigh add fd00::7 lladdr 02:00:00:00:00:02 dev eth0 nud stale router
  bridge fdb add 02:00:00:00:00:01 dev flannel.88 dst 192.168.65.4 self permanent
  bridge fdb add 02:00:00:00:00:03 dev flannel.88 dst 192.168.65.4 port 8472 vni 7 via eth0 self permanent
  bridge fdb append 00:00:00:00:00:00 dev vxm dst 192.168.65.4 self
  bridge fdb add 02:00:00:00:00:06 dev flannel.88 dst 192.168.65.4 self dynamic extern_learn
  bridge fdb add 02:00:00:00:00:04 dev peer0 master static
  bridge fdb add 02:00:00:00:00:05 dev peer0 master dynamic
  ip rule add from 10.0.0.0/8 to 172.16.0.0/12 fwmark 7/0xff iif lo priority 100 table 1000
  ip rule add from 10.1.1.1 oif eth0 priority 101 table local proto static
  ip rule add fwmark 0x20000 priority 102 unreachable
  ip -6 rule add from fd00::/8 priority 104 table 77
  ip rule add not fwmark 0x1 priority 103 table 1000 suppress_prefixlength 0
  ip rule add ipproto udp dport 4789 priority 103 prohibit
  ip rule add ipproto tcp dport 80-90 priority 103 blackhole
  ip rule add from 10.2.0.0/16 tos 0x04 fwmark 3 priority 105 table 77
  ip rule add from 10.3.0.0/16 priority 106 goto 32767
`;

/** Said of every IPv6 route, and not in our objects. */
const PREFERENCE = / pref medium$/;

describe('our words are those of iproute2', needsRoot, () => {
  let netns: Netns;
  let rtnetlink: Rtnetlink;
  let links: readonly Link[];
  let nameOf: NameOf;

  before(async () => {
    netns = Netns.anonymous();
    netns.run(() => execFileSync('sh', ['-ec', SETUP]));
    rtnetlink = connectRoute({ netns });
    links = await rtnetlink.links.list();
    nameOf = linkNames(links);
  });

  after(async () => {
    await rtnetlink[Symbol.asyncDispose]();
    netns[Symbol.dispose]();
  });

  /** What a command prints, one line per object; a line that is indented belongs to the one before. */
  function printed(command: string): string[] {
    const [program = '', ...args] = command.split(' ');
    return netns
      .run(() => execFileSync(program, args, { encoding: 'utf8' }))
      .replaceAll(/\n\t/g, ' ')
      .split('\n')
      .map(line => line.replaceAll(/[\s\\]+/g, ' ').trim())
      .filter(line => line !== '');
  }

  /** What we list, and what they print before and after it: the kernel adds entries of its own a moment after a link is up. */
  async function atRest<T>(ours: () => Promise<T>, ...commands: readonly string[]): Promise<[T, string[]]> {
    const print = () => commands.flatMap(printed);
    return await eventually('nothing changes meanwhile', async () => {
      const before = print();
      const listed = await ours();
      const after = print();
      return before.join('\n') === after.join('\n') && [listed, after];
    });
  }

  test('routes', async () => {
    const commands = ['ip -4 route show table all', 'ip -6 route show table all'];
    const [listed, theirs] = await atRest(() => rtnetlink.routes.list(), ...commands);
    const ours = listed.map(route => routeLine(route, nameOf));
    assert.deepEqual(ours.toSorted(), theirs.map(line => line.replace(PREFERENCE, '')).toSorted());
  });

  test('a route that was looked up', async () => {
    const look = () => rtnetlink.routes.lookup(Ip.parse('192.168.65.9'));
    const [found, [theirs = '']] = await atRest(look, 'ip route get 192.168.65.9');
    assert.equal(routeLine(found, nameOf), theirs.replace(/ uid 0.*$/, ''));
  });

  test('next hops', async () => {
    const [listed, theirs] = await atRest(() => rtnetlink.nexthops.list(), 'ip nexthop');
    const ours = listed.map(nexthop => nexthopLine(nexthop, nameOf));
    assert.deepEqual(ours, theirs);
  });

  test('neighbors', async () => {
    const [listed, theirs] = await atRest(() => rtnetlink.neighbors.list(), 'ip neigh show nud all');
    const ours = listed.map(neighbor => neighborLine(neighbor, nameOf));
    assert.deepEqual(ours.toSorted(), theirs.toSorted());
  });

  test('FDB entries', async () => {
    // An entry of a port is also one of its bridge.
    const list = async () => {
      const ours = new Set<string>();
      for (const { index } of links)
        for (const entry of await rtnetlink.fdb.list(index)) ours.add(fdbLine(entry, nameOf));
      return [...ours];
    };
    const [ours, theirs] = await atRest(list, 'bridge fdb');
    assert.deepEqual(ours.toSorted(), theirs.toSorted());
  });

  test('rules', async () => {
    const theirs = [...printed('ip -4 rule'), ...printed('ip -6 rule')];
    assert.deepEqual((await rtnetlink.rules.list()).map(ruleLine), theirs);
  });

  test('addresses', async () => {
    const [listed, lines] = await atRest(() => rtnetlink.addresses.list(), 'ip -o addr');
    const theirs = lines.map(line => line.replace(/^\d+: /, '').replace(/ valid_lft .*$/, ''));
    const ours = listed.map(address => addressLine(address, nameOf));
    assert.deepEqual(ours.toSorted(), theirs.toSorted());
  });

  test('links: our words are among theirs, in their order', async () => {
    // Without details: those have timers of bridges.
    const both = async () => ({ listed: await rtnetlink.links.list(), theirs: printed('ip -d -o link') });
    const [{ listed, theirs }] = await atRest(both, 'ip -o link');
    for (const link of listed) {
      const line = theirs.find(one => one.startsWith(`${link.index}: `)) ?? '';
      assert.equal(commonWords(linkLine(link, nameOf), line), linkLine(link, nameOf), line);
    }
  });

  test('vxlan links: theirs word for word', () => {
    for (const { name, info } of links) {
      if (info?.kind !== 'vxlan') continue;
      const [line = ''] = printed(`ip -d -o link show ${name}`);
      const theirs = /vxlan .*(?= addrgenmode )/.exec(line)?.[0];
      assert.equal(linkInfoWords(info, nameOf), theirs);
    }
  });
});

/** The words of `ours` up to the first that does not follow the others in `theirs`. */
function commonWords(ours: string, theirs: string): string {
  const rest = theirs.split(' ');
  const found = ours.split(' ').filter(word => {
    const at = rest.indexOf(word);
    rest.splice(0, at + 1);
    return at >= 0;
  });
  return found.join(' ');
}
