/** The firewall in nftables: what is expected is what a person sees in `nft list ruleset`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsRoot } from '../support/capabilities.ts';
import { DUAL, FirewallHost, FORWARD_IPV4, IPV4, sorted } from '../support/firewall-host.ts';

describe('nftables mode', needsRoot, () => {
  const NFT = { ...DUAL, nftables: true };

  test('has one table per family, written in one transaction each', async t => {
    const host = new FirewallHost(t);
    const firewall = host.firewall();
    const report = await firewall.apply(NFT);
    assert.equal(report.engine, 'nftables');
    assert.equal(host.writes(), 2);
    assert.equal(
      await host.shell('nft list ruleset'),
      `table ip flannel-ipv4 {
	chain mark {
		type filter hook prerouting priority mangle + 1; policy accept;
		ip saddr 10.3.0.0/16 iifname "flannel.88" meta mark set meta mark | 0x00010000
	}

	chain source {
		type nat hook postrouting priority srcnat - 1; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		ip saddr 10.3.5.0/24 ip daddr 10.3.5.0/24 return
		ip saddr 10.3.5.0/24 ip daddr 10.3.0.0/16 snat to ip saddr
		ip saddr 10.3.0.0/16 ip daddr 10.3.5.0/24 snat to ip saddr
	}

	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		ip saddr 10.3.5.0/24 ip daddr 10.3.0.0/16 return
		ip saddr 10.3.0.0/16 ip daddr 10.3.5.0/24 return
		ip saddr != 10.3.0.0/16 ip daddr 10.3.5.0/24 return
		ip saddr 10.3.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
		ip saddr != 10.3.0.0/16 ip daddr 10.3.0.0/16 masquerade fully-random
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ip saddr 10.3.0.0/16 accept
		ip daddr 10.3.0.0/16 accept
	}
}
table ip6 flannel-ipv6 {
	chain mark {
		type filter hook prerouting priority mangle + 1; policy accept;
		ip6 saddr fd00:3::/48 iifname "flannel.88" meta mark set meta mark | 0x00010000
	}

	chain source {
		type nat hook postrouting priority srcnat - 1; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		ip6 saddr fd00:3:0:5::/64 ip6 daddr fd00:3:0:5::/64 return
		ip6 saddr fd00:3:0:5::/64 ip6 daddr fd00:3::/48 snat to ip6 saddr
		ip6 saddr fd00:3::/48 ip6 daddr fd00:3:0:5::/64 snat to ip6 saddr
	}

	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		ip6 saddr fd00:3:0:5::/64 ip6 daddr fd00:3::/48 return
		ip6 saddr fd00:3::/48 ip6 daddr fd00:3:0:5::/64 return
		ip6 saddr != fd00:3::/48 ip6 daddr fd00:3:0:5::/64 return
		ip6 saddr fd00:3::/48 ip6 daddr != ff00::/8 masquerade fully-random
		ip6 saddr != fd00:3::/48 ip6 daddr fd00:3::/48 masquerade fully-random
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ip6 saddr fd00:3::/48 accept
		ip6 daddr fd00:3::/48 accept
	}
}
`,
    );
    assert.deepEqual((await host.firewall().apply(NFT)).repaired, [], 'a new process adopts them');
    assert.equal(host.writes(), 0);
  });

  for (const [what, command] of [
    ['a flushed ruleset', 'nft flush ruleset'],
    ['a flushed chain', 'nft flush chain ip flannel-ipv4 postrtg'],
    ['a deleted chain', 'nft delete chain ip6 flannel-ipv6 forward'],
    ['a foreign rule among ours', 'nft insert rule ip flannel-ipv4 forward drop'],
  ] as const) {
    test(`repairs ${what}`, async t => {
      const host = new FirewallHost(t);
      // A table that was replaced is listed last.
      const tables = async () => (await host.shell('nft list ruleset')).split(/^(?=table)/m).sort();
      const firewall = host.firewall();
      await firewall.apply(NFT);
      const whole = await tables();
      await host.shell(command);
      firewall.markStale();
      assert.notDeepEqual((await firewall.apply(NFT)).repaired, []);
      assert.deepEqual(await tables(), whole);
    });
  }

  test('gets past a FORWARD policy of DROP in iptables, as long as there is one', async t => {
    const host = new FirewallHost(t);
    await host.shell('iptables -P FORWARD DROP');
    const firewall = host.firewall();
    await firewall.apply({ ...IPV4, nftables: true });
    assert.deepEqual(sorted(await host.saved()), sorted([':FORWARD DROP', ...FORWARD_IPV4]));
    await host.shell('iptables -P FORWARD ACCEPT');
    firewall.markStale();
    await firewall.apply({ ...IPV4, nftables: true });
    assert.deepEqual(await host.saved(), []);
  });
});
