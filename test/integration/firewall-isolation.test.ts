/** L2 networks of one host are apart: what the rules do to packets between them, to the overlay and to the outside. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { run } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Namespace, neighbourhood } from '../support/neighbourhood.ts';

const SEGMENTS = [
  { bridge: 'tb-blue', number: 88 },
  { bridge: 'tb-green', number: 89 },
].map(({ bridge, number }) => ({
  bridge,
  bridges: 'tb-*',
  subnets: { ipv4: Prefix.parse(`10.${number}.0.0/16`), ipv6: Prefix.parse(`fd${number}::/64`) },
  gateways: { ipv4: Ip.parse(`10.${number}.0.1`), ipv6: Ip.parse(`fd${number}::1`) },
  port: 4789,
}));

const OVERLAY = { network: Prefix.parse('10.3.0.0/16'), subnet: Prefix.parse('10.3.5.0/24'), devices: ['p'] };

for (const nftables of [false, true]) {
  const mode = nftables ? 'nftables' : 'iptables';
  test(`nothing is routed between L2 networks, or to the overlay, ${mode}`, needsRoot, async t => {
    const { host, container, outside, peer } = await neighbourhood(t);
    const [blue, green] = [new Namespace(t), new Namespace(t)];
    for (const { netns } of [host, blue, green]) writeSysctl('net/ipv6/conf/default/accept_dad', '0', netns);
    for (const [name, segment, number] of [
      ['tb-blue', blue, 88],
      ['tb-green', green, 89],
    ] as const) {
      await host.cable(name, `10.${number}.0.1/16`, segment, `10.${number}.0.2/16`);
      await host.do(`ip addr add fd${number}::1/64 dev ${name} nodad`);
      await segment.do(
        `ip addr add fd${number}::2/64 dev ${name} nodad`,
        `ip route add default via 10.${number}.0.1`,
        `ip route add default via fd${number}::1`,
      );
    }
    await host.do('ip addr add fd77::1/64 dev o nodad');
    await outside.do('ip addr add fd77::2/64 dev o nodad');
    await peer.do(
      'ip addr add 10.3.6.2/32 dev p',
      'ip route add 10.3.5.0/24 via 198.51.100.1',
      'ip route add default via 198.51.100.1',
    );
    writeSysctl('net/ipv6/conf/all/forwarding', '1', host.netns);
    // As dockerd accepts, early, all that comes from a bridge it knows.
    await host.do('iptables -A FORWARD -i tb-blue -j ACCEPT', 'ip6tables -A FORWARD -i tb-blue -j ACCEPT');
    const apart = [
      [blue, '10.89.0.2'],
      [green, '10.88.0.2'],
      [blue, 'fd89::2'],
      [green, 'fd88::2'],
      [blue, '10.3.5.2'],
      [blue, '10.3.6.2'],
      [container, '10.88.0.2'],
      [peer, '10.89.0.2', '10.3.6.2'],
    ] as const;
    for (const [from, to, source] of apart)
      assert.equal(await from.reaches(to, source), true, `${to} without rules`);

    const firewall = new Firewall({
      log: recordingLogger(),
      run: (program, args, options) => run(program, args, { ...options, namespaces: host.namespaces }),
    });
    const desired: DesiredFirewall = {
      nftables,
      blocks: [OVERLAY],
      segments: SEGMENTS,
      masquerade: true,
      forward: true,
      randomFully: true,
    };
    const drops = async () => {
      const listings = await Promise.all(
        (nftables
          ? ['nft list table ip flannel-ipv4', 'nft list table ip6 flannel-ipv6']
          : ['iptables -t mangle -nvxL TULLE-SEGMENTS', 'ip6tables -t mangle -nvxL TULLE-SEGMENTS']
        ).map(async command => {
          const [program = '', ...args] = command.split(' ');
          return (await run(program, args, { namespaces: host.namespaces })).stdout;
        }),
      );
      const pattern = nftables ? /counter packets (\d+) .* drop/g : /^ *(\d+) +\d+ +DROP/gm;
      return listings.map(text =>
        Array.from(text.matchAll(pattern)).reduce((sum, [, count]) => sum + Number(count), 0),
      );
    };
    await firewall.apply(desired);
    const answers = await Promise.all(apart.map(([from, to, source]) => from.reaches(to, source)));
    assert.deepEqual(
      answers,
      apart.map(() => false),
    );
    assert.deepEqual(await drops(), [6, 2], 'one for each echo, IPv4 and IPv6');
    for (const [from, to] of [
      [blue, '192.0.2.2'],
      [green, '192.0.2.2'],
      [blue, 'fd77::2'],
      [container, '10.3.6.2'],
    ] as const)
      assert.equal(await from.reaches(to), true, to);

    firewall.markStale();
    assert.deepEqual((await firewall.apply(desired)).repaired, [], 'what is counted is no difference');
    await firewall.apply({ ...desired, forward: false, masquerade: false });
    assert.equal(await blue.reaches('10.89.0.2'), false, 'also where nothing is let through');
    await firewall.apply({ ...desired, segments: [], formerNetworks: SEGMENTS.map(s => s.subnets.ipv4) });
    assert.deepEqual(await drops().catch(() => [0, 0]), [0, 0]);
    assert.equal(await blue.reaches('10.89.0.2'), true, 'nothing of it is left');
  });
}
