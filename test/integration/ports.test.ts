/** Published ports with the real kernel: who reaches a container through its host, and with which source. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { HOST, OUTSIDE, portHosts, type Station } from '../support/port-hosts.ts';
import { askInVain, askSource, serveSources } from '../support/source-server.ts';

for (const mode of ['iptables', 'nftables'] as const) {
  test(`a published port is reached from everywhere, and sees who asks, ${mode}`, needsRoot, async t => {
    const { host, outside, web, other, green, firewall, open } = await portHosts(t);
    // As dockerd and ufw do.
    if (mode === 'iptables') {
      for (const program of ['iptables', 'ip6tables'])
        await host.do(
          `${program} -P FORWARD DROP`,
          `${program} -P INPUT DROP`,
          `${program} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
          `${program} -A INPUT -i lo -j ACCEPT`,
        );
      await host.do('ip6tables -A INPUT -p icmpv6 -j ACCEPT');
    }
    await firewall(mode === 'nftables');
    const ports = open();
    const { place: _, ...wish } = web;
    const mappings = (['tcp', 'udp'] as const).map(protocol => ({
      protocol,
      containerPort: 80,
      hostPort: 8080,
    }));
    assert.deepEqual(await ports.publish({ ...wish, mappings }), mappings);
    const sees = async (from: Station['place'], to: string, port = 8080) => [
      await askSource(from.netns, 'tcp', to, port),
      await askSource(from.netns, 'udp', to, port),
    ];
    const both = (answer: string) => [answer, answer];
    assert.deepEqual(await sees(outside, HOST.ipv4), both(`web ${OUTSIDE.ipv4}`));
    assert.deepEqual(await sees(outside, HOST.ipv6), both(`web ${OUTSIDE.ipv6}`));
    assert.deepEqual(await sees(host, HOST.ipv4), both(`web ${HOST.ipv4}`));
    assert.deepEqual(await sees(host, HOST.ipv6), both(`web ${HOST.ipv6}`));
    assert.deepEqual(await sees(host, '10.88.0.1'), both('web 10.88.0.1'));
    assert.deepEqual(await sees(host, '127.0.0.1'), both('web 10.88.0.1'));
    // Who tries `localhost` goes on to 127.0.0.1.
    assert.equal(await askSource(host.netns, 'tcp', '::1', 8080), 'ECONNREFUSED');
    // The answer to a station of the same bridge must come back through the host.
    for (const { place } of [other, web]) {
      assert.deepEqual(await sees(place, HOST.ipv4), both('web 10.88.0.1'));
      assert.deepEqual(await sees(place, HOST.ipv6), both('web fd88::1'));
      assert.deepEqual(await sees(place, '10.88.0.1'), both('web 10.88.0.1'));
    }
    assert.deepEqual(await sees(green.place, HOST.ipv4), both('web 10.89.0.2'));
    assert.deepEqual(await sees(green.place, HOST.ipv6), both('web fd89::2'));

    // Nothing else is let through.
    assert.equal(await askInVain(green.place.netns, 'tcp', '10.88.0.2', 80), 'nothing');
    if (mode === 'iptables') assert.equal(await askInVain(outside.netns, 'tcp', HOST.ipv4, 8081), 'nothing');
    else assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8081), 'ECONNREFUSED');
    // What only this host itself may use, a container asks for in vain.
    await serveSources(t, host.netns, 'private', Ip.parse('127.0.0.1'), 9090);
    writeSysctl('net/ipv4/conf/all/route_localnet', '1', other.place.netns);
    await other.place.do('ip addr del 127.0.0.1/8 dev lo', 'ip route add 127.0.0.1/32 via 10.88.0.1');
    assert.equal(await askSource(host.netns, 'tcp', '127.0.0.1', 9090), 'private 127.0.0.1');
    assert.equal(await askInVain(other.place.netns, 'tcp', '127.0.0.1', 9090, '10.88.0.3'), 'nothing');
    assert.equal(await askInVain(other.place.netns, 'tcp', '127.0.0.1', 8080, '10.88.0.3'), 'nothing');
    // Egress has one source, the host's.
    await serveSources(t, outside.netns, 'outside', Ip.parse(OUTSIDE.ipv4), 80);
    assert.deepEqual(await sees(web.place, OUTSIDE.ipv4, 80), both(`outside ${HOST.ipv4}`));
    assert.deepEqual(await sees(web.place, '10.88.0.3', 80), both('other 10.88.0.2'));
  });
}
