import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { SenderFilter } from '../../src/firewall/senders/filter.ts';
import type { Sender, SenderPolicy } from '../../src/firewall/senders/policy.ts';
import { connectNetfilter, type Netfilter } from '../../src/netlink/netfilter/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';

const NETWORK = Prefix.parse('10.77.0.0/16');
const POLICY: SenderPolicy = {
  networks: { ipv4: NETWORK, ipv6: Prefix.parse('fd00:77::/48') },
  subnets: { ipv4: Prefix.parse('10.77.1.0/24'), ipv6: Prefix.parse('fd00:77:0:1::/64') },
  tunnels: [
    { port: 8472, vnis: [1, 2], checksSources: true },
    { port: 8285, checksSources: false },
  ],
};
const TABLE = 'tulle-senders-10.77.0.0-16';
const sender = (last: number, block = `10.77.${last}.0/24`): Sender => ({
  addresses: [Ip.parse(`192.0.2.${last}`)],
  blocks: [Prefix.parse(block)],
});

/** A filter in a namespace of its own, with the programs that it ran. */
function openFilter(stack: DisposableStack) {
  const netns = stack.use(Netns.anonymous());
  const netfilter: Netfilter = stack.use(connectNetfilter({ netns }));
  const programs: string[] = [];
  const inside: RunProgram = (program, args, options) =>
    run('nsenter', [`--net=/proc/${process.pid}/fd/${netns.fd}`, program, ...args], options);
  const runHere: RunProgram = (program, args, options) => {
    programs.push([program, ...args].join(' '));
    return inside(program, args, options);
  };
  const filter = new SenderFilter({ netfilter, networks: () => [NETWORK], run: runHere });
  const keys = (set: string) =>
    netfilter
      .elements({ table: TABLE, set })
      .map(({ key }) => formatHex(key))
      .sort();
  const nft = (...args: string[]) => inside('nft', args);
  return { filter, netfilter, programs, keys, nft, inside };
}

test('peers that come and go are changes of sets, and cost no program', needsRoot, async () => {
  using stack = new DisposableStack();
  const { filter, keys, programs } = openFilter(stack);
  assert.ok(filter.set('a', sender(4)), 'before there is a table');
  await filter.apply(POLICY);
  assert.deepEqual(keys('senders-ip'), ['c0000204']);
  assert.deepEqual(keys('blocks-ip-ip-24'), ['c00002040a4d0400']);
  const before = programs.length;
  assert.ok(!filter.set('b', sender(5)), 'at once');
  assert.ok(!filter.set('a', undefined));
  assert.ok(!filter.set('c', sender(5)), 'two hosts may have one address');
  assert.ok(!filter.set('b', undefined));
  assert.deepEqual(keys('senders-ip'), ['c0000205']);
  assert.deepEqual(keys('blocks-ip-ip-24'), ['c00002050a4d0500']);
  assert.equal(programs.length, before);
});

test('a block of a new length needs another table, which keeps what was counted', needsRoot, async () => {
  using stack = new DisposableStack();
  const { filter, keys, nft } = openFilter(stack);
  filter.set('a', sender(4));
  await filter.apply(POLICY);
  assert.ok(!filter.set('b', sender(5, '10.77.64.0/20')), 'it is several of the usual length');
  assert.equal(keys('blocks-ip-ip-24').length, 1 + 16);
  assert.ok(filter.set('c', sender(6, '10.77.3.128/25')));
  await filter.apply(POLICY);
  assert.equal(keys('blocks-ip-ip-32').length, 128);
  const { stdout } = await nft('list', 'chain', 'inet', TABLE, 'source-ip');
  for (const bits of [24, 32])
    assert.match(stdout, new RegExp(`@th,336,${bits} @blocks-ip-ip-${bits} return`));
});

test(
  'what others have changed is put back, and nothing is written where nothing differs',
  needsRoot,
  async () => {
    using stack = new DisposableStack();
    const { filter, keys, nft, programs } = openFilter(stack);
    for (const last of [4, 5, 6]) filter.set(`${last}`, sender(last));
    await filter.apply(POLICY);
    const complete = keys('blocks-ip-ip-24');
    await nft('delete', 'element', 'inet', TABLE, 'blocks-ip-ip-24', '{ 192.0.2.5 . 0x0a4d05 }');
    await nft('add', 'element', 'inet', TABLE, 'senders-ip', '{ 198.51.100.1 }');
    programs.length = 0;
    await filter.apply(POLICY);
    assert.deepEqual(keys('blocks-ip-ip-24'), complete);
    assert.deepEqual(keys('senders-ip'), ['c0000204', 'c0000205', 'c0000206']);
    assert.ok(!programs.includes('nft -f -'), 'elements only');
    await nft('flush', 'chain', 'inet', TABLE, 'tunnel');
    await filter.apply(POLICY);
    assert.ok(programs.includes('nft -f -'), 'the rules again');
    await nft('delete', 'table', 'inet', TABLE);
    assert.ok(filter.set('7', sender(7)), 'the table is gone');
    assert.equal(filter.refused(), undefined);
    await filter.apply(POLICY);
    assert.equal(keys('senders-ip').length, 4);
    assert.deepEqual(filter.refused(), { strangers: 0, sources: 0, recent: [] });
  },
);

test('without a policy there is no table, of no network that this host had', needsRoot, async () => {
  using stack = new DisposableStack();
  const { filter, nft } = openFilter(stack);
  await filter.apply(POLICY);
  await nft('add', 'table', 'inet', 'tulle-senders-10.99.0.0-16');
  await filter.apply(undefined);
  const { stdout } = await nft('list', 'tables');
  assert.equal(stdout.trim(), 'table inet tulle-senders-10.99.0.0-16', 'that of another network stays');
});

test('thousands of peers fit', needsRoot, async () => {
  using stack = new DisposableStack();
  const { filter, keys } = openFilter(stack);
  const many = (count: number, from: number) => {
    for (let index = from; index < from + count; index++) {
      const [high, low] = [index >> 8, index & 0xff];
      filter.set(`${index}`, {
        addresses: [Ip.parse(`198.18.${high}.${low}`)],
        blocks: [Prefix.parse(`10.77.${high}.${low}/32`)],
      });
    }
  };
  many(3000, 0);
  await filter.apply(POLICY);
  many(2000, 3000);
  await filter.apply(POLICY);
  assert.equal(keys('senders-ip').length, 5000);
  assert.equal(keys('blocks-ip-ip-32').length, 5000);
});

test('a VLAN tag, which the kernel takes off, hides no source', needsRoot, async () => {
  using stack = new DisposableStack();
  const { filter, inside } = openFilter(stack);
  filter.set('a', sender(4));
  filter.set('b', sender(5));
  await filter.apply(POLICY);
  await inside('sh', ['-c', 'ip link set lo up && ip address add 192.0.2.4/32 dev lo']);
  const [vxlan, macs, ipOfB] = ['0800000000000100', '00'.repeat(12), '4500001400000000400100000a4d0502'];
  // Each from the address of a, as packets of b.
  for (const [sources, type] of ['0800', '810000000800', '8100e0000800', '88a800000800'].entries()) {
    const bytes = `${vxlan}${macs}${type}${ipOfB}0a4d0102`.replaceAll(/../g, String.raw`\x$&`);
    const send = 'dd bs=1000 iflag=fullblock status=none > /dev/udp/192.0.2.4/8472';
    await inside('bash', ['-c', `printf '${bytes}' | ${send}`]);
    await eventually(
      `a packet of type ${type} is counted`,
      async () => filter.refused()?.sources === sources + 1,
    );
  }
});
