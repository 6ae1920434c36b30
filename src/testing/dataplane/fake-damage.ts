/** A host with four peers, and every kind of fault that can be done to what is programmed for them. */
import assert from 'node:assert/strict';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { NexthopIds } from '../../dataplane/tables/nexthops.ts';
import { change } from '../../netlink/route/change.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { DEVICE, FakeHost, fakePeer, macOf } from './fake-host.ts';

/** Four of them, and what the kernel shows when they are programmed. */
export const PEERS = [1, 2, 3, 4].map(n => fakePeer(n));
const ids = new NexthopIds(DEVICE);
/** The number of peer n's next hop. */
export const nexthopId = (n: number) => ids.of(Ip.parse(`10.3.${n}.0`));

export const IN_SYNC = [
  `${DEVICE}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 link/ether 02:00:00:00:00:01 vxlan id 88 local 192.168.65.3 dev eth0 ` +
    'srcport 0 0 dstport 4789 nolearning ttl auto ageing 300 udpcsum noudp6zerocsumtx noudp6zerocsumrx',
  `${DEVICE} inet 10.3.0.0/32 scope global ${DEVICE}`,
  ...[1, 2, 3, 4].map(n => `10.3.${n}.0 dev ${DEVICE} lladdr 02:00:00:00:01:0${n} PERMANENT`),
  ...[1, 2, 3, 4].map(n => `02:00:00:00:01:0${n} dev ${DEVICE} dst 192.168.65.10${n} self permanent`),
  ...[1, 2, 3, 4]
    .toSorted((a, b) => nexthopId(a) - nexthopId(b))
    .map(n => `id ${nexthopId(n)} via 10.3.${n}.0 dev ${DEVICE} scope link proto 77 onlink`),
  ...[1, 2, 3, 4].map(
    n => `10.3.${n}.0/24 nhid ${nexthopId(n)} via 10.3.${n}.0 dev ${DEVICE} proto 77 onlink`,
  ),
].join('\n');

const stray = { mac: Mac.parse('02:00:00:00:09:09'), ip: Ip.parse('10.3.99.0') };

/** Of each kind of entry: peer 1's is right, peer 2's wrong, peer 3's missing, and one more is superfluous. */
export async function damage(host: FakeHost): Promise<void> {
  const index = await host.index();
  const [two, three] = [2, 3].map(n => fakePeer(n).paths[0]);
  assert.ok(two && three);
  const onlink = { oif: index, flags: 4, protocol: 77 };
  const results = await host.others.apply([
    change.replaceNeighbor({ index, ip: two.subnet.ip, mac: stray.mac }),
    change.deleteNeighbor({ index, ip: three.subnet.ip }),
    change.replaceNeighbor({ index, ip: stray.ip, mac: stray.mac }),
    change.replaceFdb({ index, mac: macOf(two), destination: Ip.parse('192.0.2.1') }),
    change.deleteFdb({ index, mac: macOf(three) }),
    change.replaceFdb({ index, mac: stray.mac, destination: Ip.parse('192.0.2.1') }),
    change.replaceNexthop({ id: nexthopId(2), family: 'ipv4', gateway: Ip.parse('10.3.77.0'), ...onlink }),
    change.replaceRoute({ destination: two.subnet, gateway: Ip.parse('10.3.77.0'), ...onlink, protocol: 3 }),
    // With it goes the route of peer 3.
    change.deleteNexthop(nexthopId(3)),
    change.replaceNexthop({ id: 99, family: 'ipv4', gateway: stray.ip, ...onlink }),
    change.replaceRoute({ destination: Prefix.of(stray.ip, 24), nexthopId: 99, protocol: 77 }),
  ]);
  assert.deepEqual(
    results.filter(error => error !== undefined),
    [],
  );
}

/** A kernel that a former data plane has programmed and others have damaged since. */
export async function damagedKernel(): Promise<FakeKernel> {
  const kernel = new FakeKernel();
  await using former = new FakeHost({}, kernel);
  await former.begin(PEERS);
  await former.plane[Symbol.asyncDispose]();
  await damage(former);
  return kernel;
}

/** Right, wrong, missing and superfluous entries of four kinds: two writes and a removal for each kind. */
export const REPAIRS = 12;
