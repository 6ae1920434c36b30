/** The firewall, whichever program has its rules: obstacles by others, parts that look after themselves, a change of program. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { recordingLogger } from '../../src/base/log.ts';
import { increment, Watchable } from '../../src/base/watchable.ts';
import { ruleChanges } from '../../src/firewall/changes.ts';
import { FirewallReconciler } from '../../src/firewall/reconciler.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, within } from '../support/eventually.ts';
import { DUAL, FirewallHost, IPV4, NETWORKS } from '../support/firewall-host.ts';

describe('either mode', needsRoot, () => {
  for (const nftables of [true, false]) {
    test(`names chains of others that stop the overlay, ${nftables ? 'nftables' : 'iptables'}`, async t => {
      const host = new FirewallHost(t);
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
    const host = new FirewallHost(t);
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
      const host = new FirewallHost(t);
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
    const host = new FirewallHost(t);
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
    const host = new FirewallHost(t);
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
    const host = new FirewallHost(t);
    const missing = Object.assign(new Error('no such program'), { code: 'ENOENT' });
    const firewall = host.firewall((program, args, options) =>
      program === 'nft' ? host.run(program, args, options) : Promise.reject(missing),
    );
    assert.equal((await firewall.apply(DUAL)).engine, 'nftables');
    assert.match(await host.shell('nft list tables'), /ip flannel-ipv4\ntable ip6 flannel-ipv6/);
  });

  test('cleanup names and removes what is ours, and nothing else', async t => {
    const host = new FirewallHost(t);
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
