import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { change } from '../../netlink/route/change.ts';
import { netlinkContract } from '../netlink-contract.ts';
import { FakeKernel } from './fake-kernel.ts';

async function setUp() {
  const kernel = new FakeKernel();
  const rtnetlink = kernel.connect();
  await rtnetlink.links.change('lo', { up: true });
  return { kernel, rtnetlink };
}

/** Without a bridge's entries for the addresses of its ports. */
const sortedLines = (text: string) =>
  text
    .split('\n')
    .filter(line => !/ master \S+ permanent$/.test(line))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .join('\n');

describe('the contract of every kernel', () => {
  for (const { name, run } of netlinkContract) {
    test(name, async () => {
      const { kernel, rtnetlink } = await setUp();
      await run({ rtnetlink, show: command => sortedLines(kernel.show(command)) });
      await rtnetlink[Symbol.asyncDispose]();
    });
  }
});

const route = (destination: string) => ({ destination: Prefix.parse(destination), oif: 1 });

test('a fault hits the requests it matches, as often as it should', async () => {
  const { kernel, rtnetlink } = await setUp();
  const isSecond = (text: string) => text === '10.2.0.0/16';
  kernel.refuse(
    'ENOMEM',
    request => request.type === 'route' && isSecond(`${request.route.destination}`),
    2,
    'no room',
  );
  const changes = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'].map(text => change.replaceRoute(route(text)));
  const codes = async () => (await rtnetlink.apply(changes)).map(error => error?.message);
  const refused = [undefined, 'replace route 10.2.0.0/16: no room [not enough memory] (ENOMEM)', undefined];
  assert.deepEqual(await codes(), refused);
  assert.deepEqual(await codes(), refused);
  assert.deepEqual(await codes(), [undefined, undefined, undefined]);
});

test('a list that changed while it was read is read again, but not forever', async () => {
  const { kernel, rtnetlink } = await setUp();
  await rtnetlink.routes.replace(route('10.1.0.0/16'));
  kernel.interruptDumps(9);
  assert.equal((await rtnetlink.routes.list({ family: 'ipv4' })).length, 1);
  kernel.interruptDumps(10);
  await assert.rejects(rtnetlink.routes.list({ family: 'ipv4' }), {
    code: 'DUMP_INTERRUPTED',
    message: /^list ipv4 routes: changed during each of 10 reads/,
  });
  assert.equal((await rtnetlink.routes.list({ family: 'ipv4' })).length, 1);
});

test('a watcher that was too slow learns that it missed something', async () => {
  const { kernel, rtnetlink } = await setUp();
  const stop = new AbortController();
  const events = rtnetlink.watch(['route'], stop.signal);
  await rtnetlink.routes.replace(route('10.1.0.0/16'));
  kernel.overrun();
  await rtnetlink.routes.replace(route('10.2.0.0/16'));
  const seen: string[] = [];
  for await (const event of events) {
    seen.push(event.type === 'route' ? `${event.route.destination}` : event.type);
    if (event.type === 'idle') break;
  }
  assert.deepEqual(seen, ['overrun', '10.2.0.0/16', 'idle']);
});

test('an old kernel has no next hop objects', async () => {
  const { nexthops } = new FakeKernel({ nexthops: false }).connect();
  assert.equal(await nexthops.supported(), false);
  assert.deepEqual(await nexthops.list(), []);
  await assert.rejects(nexthops.delete(5), { code: 'ENOTSUP' });
});

test('the state prints as ip and bridge do', async () => {
  const { kernel, rtnetlink } = await setUp();
  const { index: link } = kernel.plugIn({ name: 'eth0', up: true });
  const mac = Mac.parse('02:00:00:00:00:01');
  await rtnetlink.links.add({
    name: 'flannel.88',
    info: { kind: 'vxlan', id: 88, port: 4789, learning: false, local: Ip.parse('192.168.65.3'), link },
    mac,
    up: true,
  });
  await rtnetlink.addresses.replace({ index: 3, ip: Ip.parse('10.3.1.0'), length: 32 });
  assert.equal(
    kernel.show('ip link'),
    [
      '1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 link/loopback 00:00:00:00:00:00',
      '2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 link/ether 02:fa:4e:00:00:02',
      '3: flannel.88: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 link/ether 02:00:00:00:00:01 ' +
        'vxlan id 88 local 192.168.65.3 dev eth0 srcport 0 0 dstport 4789 nolearning ttl auto ageing 300 udpcsum noudp6zerocsumtx noudp6zerocsumrx',
    ].join('\n'),
  );
  assert.equal(kernel.show('ip addr'), 'flannel.88 inet 10.3.1.0/32 scope global flannel.88');
});
