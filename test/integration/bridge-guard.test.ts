/** The guard of L2 networks, with the real nft in a namespace of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { BridgeGuard } from '../../src/firewall/bridge/bridge-guard.ts';
import type { SegmentGuard } from '../../src/firewall/bridge/guard-table.ts';
import { connectNetfilter } from '../../src/netlink/netfilter/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

const mac = (last: number) => Mac.parse(`02:00:00:00:00:${last.toString(16).padStart(2, '0')}`);

const BLUE: SegmentGuard = {
  name: 'blue',
  tunnelLink: 'tv-blue',
  gateway: { mac: mac(1), addresses: { ipv4: Ip.parse('10.9.0.1'), ipv6: Ip.parse('fd00:9::1') } },
  floodLimit: 1000,
  known: [mac(2), mac(3)],
  refused: [],
};
const RED: SegmentGuard = { ...BLUE, name: '2.red-x', tunnelLink: 'tv-red', floodLimit: 10 };
const duplicate = (text: string) => ({ port: 'te-dup', ip: Ip.parse(text), mac: mac(9) });

describe('the guard', needsRoot, () => {
  test('is written once, and then only what differs', () =>
    withGuard(async ({ guard, changes }) => {
      assert.equal(await guard.apply([BLUE]), true);
      const all = changes();
      assert.equal(await guard.apply([BLUE]), false);
      assert.equal(changes(), all);
      assert.equal(await guard.apply([{ ...BLUE, known: [mac(3), mac(4)] }]), true);
      assert.equal(changes(), all + 1);
    }));

  test('of every state becomes that of every other one', () =>
    withGuard(async ({ guard, list }) => {
      const states: SegmentGuard[][] = [
        [],
        [BLUE],
        [BLUE, RED],
        [{ ...RED, floodLimit: 500 }, BLUE],
        [{ ...BLUE, refused: [duplicate('10.9.0.5'), duplicate('fd00:9::5')] }],
        [RED],
        [{ ...BLUE, known: Array.from({ length: 2500 }, (_, at) => Mac.fromKey(0x020000000000 + at)) }],
      ];
      const texts: string[] = [];
      for (const state of states) {
        await guard.apply([]);
        await guard.apply(state);
        texts.push(await list());
      }
      for (const [from, before] of states.entries()) {
        for (const [to, after] of states.entries()) {
          await guard.apply(before);
          await guard.apply(after);
          assert.equal(await list(), texts[to], `from ${from} to ${to}`);
        }
      }
    }));

  test('takes a hundred networks, and is written once', () =>
    withGuard(async ({ guard, changes }) => {
      const known = Array.from({ length: 100 }, (_, at) => Mac.fromKey(0x020000000000 + at));
      const many = Array.from({ length: 100 }, (_, at) => ({
        ...BLUE,
        name: `n${at}`,
        tunnelLink: `tv-n${at}`,
        known,
      }));
      assert.equal(await guard.apply(many), true);
      assert.equal(await guard.apply(many), false);
      assert.equal(changes(), 1);
      assert.equal((await guard.drops()).size, 100);
    }));

  test('is repaired after another program has changed it', () =>
    withGuard(async ({ guard, list, nft }) => {
      await guard.apply([BLUE]);
      const whole = await list();
      for (const damage of [
        ['flush', 'ruleset'],
        ['flush', 'chain', 'bridge', 'tulle-segments', 'blue-in'],
        ['flush', 'set', 'bridge', 'tulle-segments', 'blue-known'],
        ['add', 'rule', 'bridge', 'tulle-segments', 'blue-out', 'accept'],
        ['add', 'element', 'bridge', 'tulle-segments', 'blue-known', '{ 02:00:00:00:00:77 }'],
      ]) {
        await nft(...damage);
        assert.equal(await guard.apply([BLUE]), true, damage.join(' '));
        assert.equal(await list(), whole, damage.join(' '));
      }
    }));

  test('is told of stations without a program, and compared where that is not enough', () =>
    withGuard(async ({ guard, changes, list, nft, again }) => {
      const [a, b, c] = [1, 2, 3].map(at => Mac.fromKey(0x020000000000 + at)) as [Mac, Mac, Mac];
      assert.equal(guard.writeKnown([{ ...BLUE, known: [a] }]), false, 'nothing is known of the kernel');
      await guard.apply([{ ...BLUE, known: [a, b] }]);
      assert.equal(guard.writeKnown([{ ...BLUE, known: [b, c] }]), true);
      assert.equal(changes(), 1);
      const told = await list();
      await again().apply([{ ...BLUE, known: [b, c] }]);
      assert.equal(await list(), told, 'it is as it would be written');
      assert.equal(guard.writeKnown([{ ...BLUE, known: [b, c], floodLimit: 7 }]), false);
      await nft('flush', 'set', 'bridge', 'tulle-segments', 'blue-known');
      assert.equal(guard.writeKnown([{ ...BLUE, known: [b] }]), false, 'what is to be deleted is not there');
      await guard.apply([{ ...BLUE, known: [b, c] }]);
      assert.equal(await list(), told);
    }));

  test('is taken over from an earlier run, with its counters', () =>
    withGuard(async ({ guard, again, list }) => {
      await guard.apply([BLUE]);
      const before = await list();
      await again().apply([BLUE]);
      assert.equal(await list(), before);
      assert.deepEqual([...(await guard.drops()).keys()], ['blue']);
    }));
});

async function withGuard(
  body: (host: {
    readonly guard: BridgeGuard;
    readonly again: () => BridgeGuard;
    readonly changes: () => number;
    readonly nft: (...args: string[]) => Promise<string>;
    readonly list: () => Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  using netns = Netns.anonymous();
  const namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
  using netfilter = connectNetfilter({ netns });
  let changes = 0;
  const open = () =>
    new BridgeGuard(netfilter, (program, args, options) => {
      if (!args.includes('list')) changes++;
      return run(program, args, { ...options, namespaces });
    });
  const nft = async (...args: string[]) => (await run('nft', args, { namespaces })).stdout;
  // Rules in order of their chain; everything else in any order, which only tells when it was made.
  const list = async () => {
    const { nftables } = JSON.parse(await nft('-j', 'list', 'ruleset')) as { nftables: Listed[] };
    return nftables
      .map(object => JSON.stringify(object, withoutTime))
      .sort((a, b) =>
        a.startsWith('{"rule"') && b.startsWith('{"rule"')
          ? chainOf(a).localeCompare(chainOf(b))
          : a < b
            ? -1
            : 1,
      )
      .join('\n');
  };
  await body({ guard: open(), again: open, changes: () => changes, nft, list });
}

type Listed = Readonly<Record<string, unknown>>;

const withoutTime = (key: string, value: unknown) => {
  if (key === 'handle') return undefined;
  return key === 'elem' && Array.isArray(value)
    ? value.map(element => JSON.stringify(element)).sort()
    : value;
};

const chainOf = (rule: string) => /"chain":"([^"]*)"/.exec(rule)?.[1] ?? '';
