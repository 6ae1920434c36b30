/** The rules for L2 networks, in both engines, with the real programs in a namespace of the test. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

/** One with a way out, one without; no overlay. */
const DESIRED: DesiredFirewall = {
  nftables: false,
  blocks: [],
  segments: [
    {
      bridge: 'tb-blue',
      bridges: 'tb-*',
      subnets: { ipv4: Prefix.parse('10.88.0.0/16') },
      gateways: { ipv4: Ip.parse('10.88.0.1') },
      port: 4789,
    },
    {
      bridge: 'tb-dark',
      bridges: 'tb-*',
      subnets: { ipv4: Prefix.parse('10.89.0.0/16') },
      gateways: {},
      port: 4789,
    },
  ],
  formerNetworks: [Prefix.parse('10.88.0.0/16'), Prefix.parse('10.89.0.0/16')],
  masquerade: false,
  forward: true,
  randomFully: false,
};

function hostOf(t: TestContext) {
  const netns = Netns.anonymous();
  t.after(() => netns[Symbol.dispose]());
  const namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
  const firewall = new Firewall({
    log: recordingLogger(),
    run: (program, args, options) => run(program, args, { ...options, namespaces }),
  });
  const list = async (program: string, ...args: string[]) =>
    (await run(program, args, { namespaces })).stdout.split('\n').map(line => line.trim());
  return { firewall, list };
}

describe('L2 networks', needsRoot, () => {
  test('are let through and masqueraded in iptables, and nothing of them stays', async t => {
    const { firewall, list } = hostOf(t);
    const rules = async () =>
      (await list('iptables-save'))
        .filter(line => /^-A (FLANNEL|TULLE)/.test(line))
        .map(line => line.replace(/ -m comment --comment "[^"]*"/, ''))
        .toSorted((a, b) => (a < b ? -1 : 1));
    await firewall.apply(DESIRED);
    assert.deepEqual(await rules(), [
      '-A FLANNEL-FWD -d 10.88.0.0/16 -o tb-blue -j ACCEPT',
      '-A FLANNEL-FWD -i tb-blue -o tb-blue -j ACCEPT',
      '-A FLANNEL-FWD -i tb-dark -o tb-dark -j ACCEPT',
      '-A FLANNEL-FWD -s 10.88.0.0/16 -i tb-blue -j ACCEPT',
      '-A FLANNEL-POSTRTG -o tb-blue -j RETURN',
      '-A FLANNEL-POSTRTG -o tb-dark -j RETURN',
      '-A FLANNEL-POSTRTG -s 10.88.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE',
      '-A TULLE-SEGMENTS ! -i tb-+ ! -o tb-+ -j RETURN',
      '-A TULLE-SEGMENTS -i tb-+ -o tb-blue -j DROP',
      '-A TULLE-SEGMENTS -i tb-blue -o tb-blue -j RETURN',
      '-A TULLE-SEGMENTS -m conntrack --ctstate DNAT -j RETURN',
    ]);
    firewall.markStale();
    assert.deepEqual((await firewall.apply(DESIRED)).repaired, []);
    await firewall.apply({ ...DESIRED, segments: [] });
    assert.deepEqual(await rules(), []);
  });

  test('are let through and masqueraded in nftables, and nothing of them stays', async t => {
    const { firewall, list } = hostOf(t);
    const nft: DesiredFirewall = { ...DESIRED, nftables: true };
    await firewall.apply(nft);
    const rules = (await list('nft', 'list', 'table', 'ip', 'flannel-ipv4'))
      .map(line => line.replace(/ comment ".*"$/, ''))
      .filter(line => / (accept|return|masquerade|drop)$/.test(line));
    assert.deepEqual(rules, [
      'oifname "tb-blue" return',
      'oifname "tb-dark" return',
      'ip saddr 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade',
      'iifname != "tb-*" oifname != "tb-*" return',
      'ct status dnat return',
      'iifname "tb-blue" oifname "tb-blue" return',
      'iifname "tb-*" oifname "tb-blue" counter packets 0 bytes 0 drop',
      'iifname "tb-blue" oifname "tb-blue" accept',
      'ip saddr 10.88.0.0/16 iifname "tb-blue" accept',
      'ip daddr 10.88.0.0/16 oifname "tb-blue" accept',
      'iifname "tb-dark" oifname "tb-dark" accept',
    ]);
    firewall.markStale();
    assert.deepEqual((await firewall.apply(nft)).repaired, []);
    await firewall.apply({ ...nft, segments: [] });
    assert.deepEqual(
      (await list('nft', 'list', 'ruleset')).filter(line => line !== ''),
      [],
    );
  });
});
