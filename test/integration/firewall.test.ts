/**
 * The firewall against the real programs and the real kernel, each test in a network namespace of its own. What
 * is expected is the text a person sees: iptables-save and `nft list ruleset`.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { increment, Watchable } from '../../src/base/watchable.ts';
import { ruleChanges } from '../../src/firewall/changes.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { FirewallReconciler } from '../../src/firewall/reconciler.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot, requires } from '../support/capabilities.ts';
import { deadline, within } from '../support/eventually.ts';

const DUAL: DesiredFirewall = {
  nftables: false,
  blocks: [
    { network: Prefix.parse('10.3.0.0/16'), subnet: Prefix.parse('10.3.5.0/24'), devices: ['flannel.88'] },
    {
      network: Prefix.parse('fd00:3::/48'),
      subnet: Prefix.parse('fd00:3:0:5::/64'),
      devices: ['flannel.88'],
    },
  ],
  masquerade: true,
  forward: true,
  randomFully: true,
};
const NETWORKS = DUAL.blocks.map(({ network }) => network);
const IPV4: DesiredFirewall = { ...DUAL, blocks: DUAL.blocks.slice(0, 1) };

/** A host of the test: its own namespace, a firewall in it, and every program the firewall started. */
class Host {
  readonly started: string[] = [];
  readonly netns: Netns;

  constructor(t: TestContext) {
    this.netns = Netns.anonymous();
    t.after(() => this.netns[Symbol.dispose]());
  }

  readonly run: RunProgram = (program, args, options) => {
    this.started.push([program, ...args].join(' '));
    const net = `/proc/${process.pid}/fd/${this.netns.fd}`;
    return run(program, args, { ...options, namespaces: { net } });
  };

  firewall(through: RunProgram = this.run): Firewall {
    return new Firewall({ log: recordingLogger(), run: through });
  }

  /** A foreigner's command, in words without quoting. */
  async shell(command: string): Promise<string> {
    const [program = '', ...args] = command.split(' ');
    return (await run(program, args, { namespaces: { net: `/proc/${process.pid}/fd/${this.netns.fd}` } }))
      .stdout;
  }

  /** Chains and rules of iptables-save as flannel has them, without counters and the built-in chains that are empty. */
  async saved(program = 'iptables-save'): Promise<string[]> {
    const text = await this.shell(program);
    return text
      .split('\n')
      .map(line => line.replace(/ \[\d+:\d+\]$/, ''))
      .filter(line => /^(-A|:FLANNEL|:\S+ DROP)/.test(line) && !line.includes('TULLE-OVERLAY'));
  }

  /** How many programs that change something were started since the last call. */
  writes(): number {
    return this.started.splice(0).filter(line => /-restore|^nft -j -f/.test(line)).length;
  }
}

/** flannel's own rules, as its end-to-end tests expect them. */
const MASQUERADE_IPV4 = [
  ':FLANNEL-POSTRTG -',
  '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
  '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.5.0/24 -d 10.3.0.0/16 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.0.0/16 -d 10.3.5.0/24 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG ! -s 10.3.0.0/16 -d 10.3.5.0/24 -m comment --comment "flanneld masq" -j RETURN',
  '-A FLANNEL-POSTRTG -s 10.3.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
  '-A FLANNEL-POSTRTG ! -s 10.3.0.0/16 -d 10.3.0.0/16 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully',
];
const FORWARD_IPV4 = [
  ':FLANNEL-FWD -',
  '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD',
  '-A FLANNEL-FWD -s 10.3.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
  '-A FLANNEL-FWD -d 10.3.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
];
const ALL_IPV4 = [...FORWARD_IPV4, ...MASQUERADE_IPV4].sort();
const hasLegacy = requires(
  process.getuid?.() === 0 && existsSync('/usr/sbin/iptables-legacy'),
  'needs root and the legacy iptables',
);
const sorted = (lines: readonly string[]) => lines.toSorted();

describe('iptables mode', needsRoot, () => {
  test("has flannel's rules for both families", async t => {
    const host = new Host(t);
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
    const host = new Host(t);
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
      const host = new Host(t);
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
    const host = new Host(t);
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
    const host = new Host(t);
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
    const host = new Host(t);
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
    const host = new Host(t);
    const legacy = (program: string) => program.replace(/^(ip6?tables)/, '$1-legacy');
    const firewall = host.firewall((program, args, options) => host.run(legacy(program), args, options));
    assert.equal((await firewall.apply(DUAL)).announced, false);
    assert.deepEqual(sorted(await host.saved('iptables-legacy-save')), ALL_IPV4);
    await host.shell('iptables-legacy -t nat -D FLANNEL-POSTRTG 3');
    firewall.markStale();
    assert.equal((await firewall.apply(DUAL)).repaired.length, 1);
    assert.deepEqual(sorted(await host.saved('iptables-legacy-save')), ALL_IPV4);
    assert.deepEqual(await firewall.check(DUAL), []);
    await firewall.cleanup({ networks: NETWORKS, dryRun: false });
    assert.deepEqual(await host.saved('iptables-legacy-save'), []);
  });

  test('reports what the program refuses, and tries again next time', async t => {
    const host = new Host(t);
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

describe('nftables mode', needsRoot, () => {
  const NFT = { ...DUAL, nftables: true };

  test('has one table per family, written in one transaction each', async t => {
    const host = new Host(t);
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
      const host = new Host(t);
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
    const host = new Host(t);
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

describe('either mode', needsRoot, () => {
  for (const nftables of [true, false]) {
    test(`names chains of others that stop the overlay, ${nftables ? 'nftables' : 'iptables'}`, async t => {
      const host = new Host(t);
      const firewall = host.firewall();
      const desired = { ...DUAL, nftables };
      for (const command of [
        'table inet guard',
        'chain inet guard transit {type filter hook forward priority 0; policy drop;}',
        'table inet firewalld',
        'chain inet firewalld filter_FORWARD {type filter hook forward priority 10; policy accept;}',
        'rule inet firewalld filter_FORWARD ct state established accept',
        'rule inet firewalld filter_FORWARD counter reject with icmpx admin-prohibited',
        'table ip harmless',
        'chain ip harmless f {type filter hook forward priority 0; policy accept;}',
        'rule ip harmless f ip saddr 192.0.2.1 drop',
      ]) {
        await host.shell(`nft add ${command}`);
      }
      const both = 'packets of other hosts to containers and packets of containers to other hosts';
      const texts = async () => (await firewall.apply(desired)).obstacles.map(({ text }) => text);
      assert.deepEqual(await texts(), [
        `chain transit of nftables table inet guard drops ${both}: its policy is drop`,
        `chain filter_FORWARD of nftables table inet firewalld drops ${both}: handle 3`,
      ]);
      await host.shell('nft insert rule inet firewalld filter_FORWARD ip saddr 10.3.0.0/16 accept');
      await host.shell('nft insert rule inet firewalld filter_FORWARD ip6 saddr fd00:3::/48 accept');
      await host.shell('nft delete table inet guard');
      firewall.markStale();
      assert.deepEqual(await texts(), []);
    });
  }

  test("names dockerd's nftables rules, once a container of ours is behind them", async t => {
    const host = new Host(t);
    const firewall = host.firewall();
    for (const command of [
      'table ip docker-bridges',
      'chain ip docker-bridges raw-PREROUTING {type filter hook prerouting priority raw; policy accept;}',
      'rule ip docker-bridges raw-PREROUTING ip daddr 172.17.0.2 iifname != docker0 counter drop',
    ]) {
      await host.shell(`nft add ${command}`);
    }
    assert.deepEqual((await firewall.apply(IPV4)).obstacles, []);
    await host.shell(
      'nft add rule ip docker-bridges raw-PREROUTING ip daddr 10.3.5.2 iifname != br0 counter drop',
    );
    firewall.markStale();
    const [obstacle, ...others] = (await firewall.apply(IPV4)).obstacles;
    assert.deepEqual(others, []);
    assert.match(obstacle?.text ?? '', /table ip docker-bridges drops packets of other hosts to containers/);
    assert.match(obstacle?.hint ?? '', /--allow-direct-routing --bridge-accept-fwmark=0x10000\/0x10000/);
  });

  for (const nftables of [true, false]) {
    test(`notices a foreign flush, ${nftables ? 'nftables' : 'iptables'}`, async t => {
      const host = new Host(t);
      const repaired = Promise.withResolvers<readonly string[]>();
      const reconciler = new FirewallReconciler({
        firewall: host.firewall(),
        log: recordingLogger(),
        changes: signal => ruleChanges(host.netns, signal),
        // Far longer than any test waits: only the announcement can be the cause.
        resyncInterval: 3_600_000,
        onRepair: repaired.resolve,
      });
      t.after(() => reconciler[Symbol.asyncDispose]());
      await reconciler.apply({ ...IPV4, nftables });
      const before = await host.shell('nft list ruleset');
      await host.shell('nft flush ruleset');
      assert.notDeepEqual(await within('the rules are restored', repaired.promise), []);
      assert.equal(await host.shell('nft list ruleset'), before);
      assert.equal(reconciler.state.ok, true);
    });
  }

  test('a part looks after its own tables and those of other programs', async t => {
    const host = new Host(t);
    const told = new Watchable(0);
    const watching = new AbortController();
    const follow = async () => {
      for await (const _ of ruleChanges(host.netns, watching.signal, { own: 'tulle-b' })) increment(told);
    };
    const following = follow();
    t.after(async () => {
      watching.abort();
      await following;
    });
    // The second of each pair says that the first one would have been told of.
    for (const [at, table] of ['tulle-b', 'tulle-bc', 'other'].entries()) {
      await host.shell('nft add table inet tulle-a');
      await host.shell('nft add set inet tulle-a s { type ipv4_addr; }');
      await host.shell('nft add element inet tulle-a s { 192.0.2.1 }');
      await host.shell('nft delete table inet tulle-a');
      assert.equal(told.value, at);
      await host.shell(`nft add table inet ${table}`);
      await told.until(count => count > at, deadline(`${table} is told of`));
    }
    assert.equal(told.value, 3);
  });

  test('a change of mode leaves nothing of the other behind', async t => {
    const host = new Host(t);
    const firewall = host.firewall();
    await firewall.apply(DUAL);
    await firewall.apply({ ...DUAL, nftables: true });
    assert.deepEqual(await host.saved(), []);
    assert.deepEqual(await host.saved('ip6tables-save'), []);
    assert.match(await host.shell('nft list tables'), /flannel-ipv4/);
    await firewall.apply(DUAL);
    assert.doesNotMatch(await host.shell('nft list tables'), /flannel/);
    assert.notDeepEqual(await host.saved(), []);
  });

  test('uses nftables on a host without iptables', async t => {
    const host = new Host(t);
    const missing = Object.assign(new Error('no such program'), { code: 'ENOENT' });
    const firewall = host.firewall((program, args, options) =>
      program === 'nft' ? host.run(program, args, options) : Promise.reject(missing),
    );
    assert.equal((await firewall.apply(DUAL)).engine, 'nftables');
    assert.match(await host.shell('nft list tables'), /ip flannel-ipv4\ntable ip6 flannel-ipv6/);
  });

  test('cleanup names and removes what is ours, and nothing else', async t => {
    const host = new Host(t);
    await host.shell('iptables -A FORWARD -s 192.0.2.1 -j ACCEPT');
    await host.shell('iptables -P FORWARD DROP');
    await host.shell('nft add table ip other');
    const foreign = await host.saved();
    await host.firewall().apply(DUAL);
    await host.firewall().apply({ ...DUAL, nftables: true });
    const firewall = host.firewall();
    const named = await firewall.cleanup({ networks: NETWORKS, dryRun: true });
    assert.deepEqual(named, [
      'chain FLANNEL-FWD should not exist',
      'table ip flannel-ipv4 should not exist',
      'table ip6 flannel-ipv6 should not exist',
    ]);
    assert.deepEqual(await firewall.cleanup({ networks: NETWORKS, dryRun: false }), named);
    assert.deepEqual(await firewall.cleanup({ networks: NETWORKS, dryRun: false }), []);
    assert.deepEqual(await host.saved(), foreign);
    assert.doesNotMatch(await host.shell('nft list tables'), /flannel/);
    assert.match(await host.shell('nft list tables'), /ip other/);
  });
});
