/** The firewall in iptables: what is expected is what a person sees in iptables-save. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import process from 'node:process';
import { describe, test } from 'node:test';
import { Prefix } from '../../src/base/prefix.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { needsRoot, requires } from '../support/capabilities.ts';
import {
  ALL_IPV4,
  DUAL,
  FirewallHost,
  FORWARD_IPV4,
  IPV4,
  MASQUERADE_IPV4,
  NETWORKS,
  sorted,
} from '../support/firewall-host.ts';

const hasLegacy = requires(
  process.getuid?.() === 0 && existsSync('/usr/sbin/iptables-legacy'),
  'needs root and the legacy iptables',
);
describe('iptables mode', needsRoot, () => {
  test("has flannel's rules for both families", async t => {
    const host = new FirewallHost(t);
    const report = await host.firewall().apply(DUAL);
    assert.equal(report.engine, 'iptables');
    const ipv4 = await host.saved();
    assert.deepEqual(
      ipv4.filter(line => /POSTR/.test(line)),
      MASQUERADE_IPV4,
    );
    assert.deepEqual(
      ipv4.filter(line => /FORWARD|FWD/.test(line)),
      FORWARD_IPV4,
    );
    const translated = [...FORWARD_IPV4, ...MASQUERADE_IPV4].map(line =>
      line
        .replaceAll('10.3.5.0/24', 'fd00:3:0:5::/64')
        .replaceAll('10.3.0.0/16', 'fd00:3::/48')
        .replaceAll('224.0.0.0/4', 'ff00::/8'),
    );
    assert.deepEqual(sorted(await host.saved('ip6tables-save')), sorted(translated));
  });

  test('starts no program for a state it has applied, and writes nothing when nothing differs', async t => {
    const host = new FirewallHost(t);
    const firewall = host.firewall();
    await firewall.apply(DUAL);
    host.writes();
    assert.deepEqual((await firewall.apply({ ...DUAL })).repaired, []);
    assert.deepEqual(host.started, []);
    firewall.markStale();
    assert.deepEqual((await firewall.apply(DUAL)).repaired, []);
    assert.notEqual(host.started.length, 0);
    assert.equal(host.writes(), 0);
    assert.deepEqual((await host.firewall().apply(DUAL)).repaired, [], 'a new process adopts them');
    assert.equal(host.writes(), 0);
  });

  const DAMAGE: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['a flushed table', ['iptables -t nat -F'], /does not call FLANNEL-POSTRTG/],
    ['a flushed chain', ['iptables -F FLANNEL-FWD'], /chain FLANNEL-FWD lacks/],
    ['a removed jump', ['iptables -D FORWARD -m comment --comment flanneld%forward -j FLANNEL-FWD'], /call/],
    ['a removed chain', ['iptables -F', 'iptables -X FLANNEL-FWD'], /chain FLANNEL-FWD is missing/],
    [
      'the wrong order',
      ['iptables -t nat -D FLANNEL-POSTRTG 1', 'APPEND-MARK-RULE'],
      /FLANNEL-POSTRTG are in the wrong order/,
    ],
    ['a foreign rule among ours', ['iptables -I FLANNEL-FWD -j DROP'], /has unexpected rules/],
    ['a doubled jump', ['iptables -A FORWARD -j FLANNEL-FWD'], /has outdated rules of Tulle/],
    [
      "old flannel's rule, which had no chain",
      ['iptables -A FORWARD -s 10.3.9.0/24 -m comment --comment flanneld%forward -j ACCEPT'],
      /has outdated rules of Tulle/,
    ],
  ];
  for (const [what, commands, difference] of DAMAGE) {
    test(`repairs ${what}`, async t => {
      const host = new FirewallHost(t);
      const firewall = host.firewall();
      await firewall.apply(IPV4);
      for (const command of commands) {
        const append =
          'iptables -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment flanneld%masq -j RETURN';
        const words = (command === 'APPEND-MARK-RULE' ? append : command).split(' ');
        await host.run(
          'iptables',
          words.slice(1).map(word => word.replace('%', ' ')),
        );
      }
      const found = await firewall.check(IPV4);
      assert.match(found.join('\n'), difference);
      firewall.markStale();
      assert.deepEqual((await firewall.apply(IPV4)).repaired, found);
      assert.deepEqual(sorted(await host.saved()), ALL_IPV4);
      assert.deepEqual(await firewall.check(IPV4), []);
    });
  }

  test('keeps in front of a rule behind which nothing is reached, and after the others', async t => {
    const host = new FirewallHost(t);
    await host.shell('iptables -A FORWARD -p tcp -j ACCEPT');
    await host.shell('iptables -A FORWARD -j REJECT');
    const firewall = host.firewall();
    await firewall.apply(IPV4);
    const order = async () =>
      (await host.saved()).filter(line => line.startsWith('-A FORWARD')).map(line => line.split(' ').at(-1));
    const reject = 'icmp-port-unreachable';
    assert.deepEqual(await order(), ['ACCEPT', 'FLANNEL-FWD', reject]);
    await host.shell('iptables -I FORWARD -j REJECT');
    firewall.markStale();
    assert.match((await firewall.apply(IPV4)).repaired.join(), /ends before it calls FLANNEL-FWD/);
    assert.deepEqual(await order(), ['FLANNEL-FWD', reject, 'ACCEPT', reject]);
  });

  test('follows what is wanted: another network, no masquerading, no forwarding', async t => {
    const host = new FirewallHost(t);
    const firewall = host.firewall();
    await firewall.apply(DUAL);
    const moved = {
      network: Prefix.parse('10.4.0.0/16'),
      subnet: Prefix.parse('10.4.9.0/24'),
      devices: ['flannel.88'],
    };
    const formerNetworks = [...NETWORKS, moved.network];
    await firewall.apply({ ...DUAL, blocks: [moved], formerNetworks });
    const text = (await host.saved()).join('\n');
    assert.doesNotMatch(text, /10\.3\./);
    assert.match(text, /-s 10\.4\.9\.0\/24 -d 10\.4\.0\.0\/16/);
    assert.deepEqual(await host.saved('ip6tables-save'), []);
    await firewall.apply({ ...IPV4, formerNetworks, masquerade: false });
    assert.deepEqual(sorted(await host.saved()), sorted(FORWARD_IPV4));
    await firewall.apply({ ...IPV4, masquerade: false, forward: false });
    assert.deepEqual(await host.saved(), []);
  });

  test('masquerades without random ports where they are refused', async t => {
    const host = new FirewallHost(t);
    const old: RunProgram = (program, args, options) =>
      /random-fully/.test(String(options?.input))
        ? Promise.resolve({ status: 2, stdout: '', stderr: "unknown option '--random-fully'\n" })
        : host.run(program, args, options);
    const firewall = host.firewall(old);
    await firewall.apply(IPV4);
    assert.deepEqual(
      sorted(await host.saved()),
      ALL_IPV4.map(line => line.replace(' --random-fully', '')),
    );
    assert.deepEqual(await firewall.check(IPV4), []);
  });

  test('writes the same with the legacy iptables, whose changes nobody announces', hasLegacy, async t => {
    const host = new FirewallHost(t);
    const legacy = (program: string) => program.replace(/^(ip6?tables)/, '$1-legacy');
    const firewall = host.firewall((program, args, options) => host.run(legacy(program), args, options));
    assert.equal((await firewall.apply(DUAL)).announced, false);
    assert.deepEqual(sorted(await host.saved('iptables-legacy-save')), ALL_IPV4);
    await host.shell('iptables-legacy -w -t nat -D FLANNEL-POSTRTG 3');
    firewall.markStale();
    assert.equal((await firewall.apply(DUAL)).repaired.length, 1);
    assert.deepEqual(sorted(await host.saved('iptables-legacy-save')), ALL_IPV4);
    assert.deepEqual(await firewall.check(DUAL), []);
    await firewall.cleanup({ networks: NETWORKS, dryRun: false });
    assert.deepEqual(await host.saved('iptables-legacy-save'), []);
  });

  test('reports what the program refuses, and tries again next time', async t => {
    const host = new FirewallHost(t);
    let broken = true;
    const firewall = host.firewall((program, args, options) =>
      broken && program === 'iptables-restore'
        ? Promise.resolve({ status: 4, stdout: '', stderr: '# hint\nAnother app holds the lock.\n' })
        : host.run(program, args, options),
    );
    await assert.rejects(firewall.apply(IPV4), {
      code: 'LOCKED',
      message: 'iptables-restore: Another app holds the lock',
    });
    broken = false;
    await firewall.apply(IPV4);
    assert.deepEqual(sorted(await host.saved()), ALL_IPV4);
  });
});
