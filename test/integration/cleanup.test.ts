/** Cleanup of a host that Tulle ran on, in a network namespace of its own. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { findLeftovers } from '../../src/host/cleanup.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

const NETWORKS = [Prefix.parse('10.3.0.0/16'), Prefix.parse('fd00:3::/48')];
const SETUP = [
  'link add underlay type bridge',
  'addr add 192.0.2.1/24 dev underlay',
  'link set underlay up',
  'link add flannel.88 type vxlan id 88 dev underlay local 192.0.2.1 dstport 4789 nolearning',
  'addr add 10.3.5.0/32 dev flannel.88',
  'link set flannel.88 up',
  'nexthop add id 77001 via 10.3.6.0 dev flannel.88 onlink protocol 77',
  'route add 10.3.6.0/24 nhid 77001 protocol 77',
  'route add 10.3.7.0/24 via 10.3.7.0 dev flannel.88 onlink',
  'link add flannel-v6.88 type vxlan id 88 dev underlay local 192.0.2.1 dstport 4790',
  'addr add fd00:3:0:5::/128 dev flannel-v6.88',
  'tuntap add flannel0 mode tun',
  'addr add 10.3.5.0/16 dev flannel0',
  'neigh add 10.3.6.0 lladdr 02:00:00:00:00:06 dev flannel.88 nud permanent',
  'tuntap add flannel-wg mode tun',
  'addr add 10.3.5.0/32 dev flannel-wg',
  // Ours, although the device or the block is not.
  'nexthop add id 77003 via 10.3.8.0 dev underlay onlink protocol 77',
  'route add 10.3.8.0/24 nhid 77003 protocol 77',
  'route add 10.3.9.0/24 via 192.0.2.9 dev underlay protocol 77 table 100',
  'nexthop add id 77004 via 10.77.1.0 dev flannel.88 onlink protocol 77',
  'route add 10.77.1.0/24 nhid 77004 protocol 77',
  // Two routes of one destination, of which the second is ours.
  'route add 10.3.10.0/24 via 192.0.2.9 dev underlay metric 200',
  'route append 10.3.10.0/24 via 192.0.2.8 dev underlay metric 200 protocol 77',
  // Not ours, for all that they resemble it.
  'link add flannel.1 type vxlan id 1 dev underlay local 192.0.2.1 dstport 8472 nolearning',
  'addr add 10.42.0.0/32 dev flannel.1',
  'link set flannel.1 up',
  'neigh add 10.42.1.0 lladdr 02:00:00:00:00:07 dev flannel.1 nud permanent',
  'route add 10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink',
  'nexthop add id 77002 via 10.42.2.0 dev flannel.1 onlink protocol 77',
  'route add 10.42.2.0/24 nhid 77002 protocol 77',
  'link add flannel.2 type vxlan id 2 dev underlay local 192.0.2.1 dstport 8472',
  'link add flannel.99 type bridge',
  'link add vxlan7 type vxlan id 7 dev underlay local 192.0.2.1 dstport 4791',
  'nexthop add id 6 via 10.3.6.9 dev underlay onlink',
  'nexthop add id 5 via 192.0.2.9 dev underlay',
  'route add 10.9.0.0/16 nhid 5',
];

test('A1: cleanup finds and removes what is ours, once, and leaves the rest', needsRoot, async t => {
  const netns = Netns.anonymous();
  t.after(() => netns[Symbol.dispose]());
  const namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
  const ip = async (command: string) => (await run('ip', command.split(' '), { namespaces })).stdout;
  for (const command of SETUP) await ip(command);
  const directory = mkdtempSync(join(tmpdir(), 'tt-cleanup-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const paths = [join(directory, 'subnet.env'), join(directory, 'state'), join(directory, 'absent')];
  writeFileSync(join(directory, 'subnet.env'), 'FLANNEL_MTU=1450\n');
  mkdirSync(join(directory, 'state'));
  writeFileSync(join(directory, 'state', 'identity.json'), '{}');

  const firewall = new Firewall({
    log: silentLogger,
    run: (program, args, options) => run(program, args, { ...options, namespaces }),
  });
  await firewall.apply({
    nftables: false,
    blocks: [
      { network: Prefix.parse('10.3.0.0/16'), subnet: Prefix.parse('10.3.5.0/24'), devices: ['flannel.88'] },
    ],
    masquerade: true,
    forward: false,
    randomFully: true,
  });
  await using rtnetlink = connectRoute({ netns });
  const find = () =>
    findLeftovers({
      rtnetlink,
      firewall,
      networks: NETWORKS,
      forwarder: join(directory, 'none.sock'),
      paths,
    });

  const { leftovers: found, kept } = await find();
  assert.deepEqual(kept, [
    'device flannel.1: address 10.42.0.0/32',
    'device flannel.2: its network is unknown',
  ]);
  assert.deepEqual(
    found.map(({ what }) => what),
    [
      'route 10.3.9.0/24',
      'route 10.3.6.0/24',
      'route 10.3.8.0/24',
      'route 10.3.10.0/24',
      'route 10.77.1.0/24',
      'next hop 77001',
      'next hop 77003',
      'next hop 77004',
      'device flannel.88',
      'device flannel-v6.88',
      'device flannel0',
      'device flannel-wg',
      'firewall rules: chain TULLE-OVERLAY of table nat should not exist; chain FLANNEL-POSTRTG should not exist',
      join(directory, 'subnet.env'),
      join(directory, 'state'),
    ],
  );
  const names = (leftovers: typeof found) => leftovers.map(({ what }) => what);
  assert.deepEqual(names((await find()).leftovers), names(found), 'looking changes nothing');
  for (const { remove } of found) await remove();
  assert.deepEqual(names((await find()).leftovers), []);
  // A second clean-up that started before the first one ended finds everything gone.
  for (const { remove } of found) await remove();

  const links = (JSON.parse(await ip('-json link')) as { ifname: string }[])
    .map(({ ifname }) => ifname)
    .sort();
  assert.deepEqual(links, ['flannel.1', 'flannel.2', 'flannel.99', 'lo', 'underlay', 'vxlan7']);
  assert.match(await ip('neigh show dev flannel.1'), /^10\.42\.1\.0 lladdr 02:00:00:00:00:07 PERMANENT/m);
  assert.match(await ip('route'), /^10\.42\.1\.0\/24 via 10\.42\.1\.0 .*\n10\.42\.2\.0\/24 nhid 77002/m);
  assert.match(await ip('route'), /^10\.9\.0\.0\/16 nhid 5/m);
  assert.deepEqual((await ip('route show table all')).match(/^10\.(3|77)\..*/gm), [
    '10.3.10.0/24 via 192.0.2.9 dev underlay metric 200 ',
  ]);
  assert.match(await ip('nexthop'), /^id 6 via 10\.3\.6\.9 dev underlay/m);
  assert.ok(!existsSync(join(directory, 'state')));
});
