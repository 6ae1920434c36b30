/** Several networks on one host share the chains and tables that flannel names: each has its own rules in them. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

/** A host of its own, what is done on it, and how many of the programs that were started change something. */
class Host {
  writes = 0;
  readonly #namespaces: { readonly net: string };

  constructor(t: TestContext) {
    const netns = Netns.anonymous();
    t.after(() => netns[Symbol.dispose]());
    this.#namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
  }

  firewall(): Firewall {
    return new Firewall({
      log: silentLogger,
      run: (program, args, options) => {
        if (program.endsWith('-restore') || args.includes('-f')) this.writes++;
        return run(program, args, { ...options, namespaces: this.#namespaces });
      },
    });
  }

  async shell(program: string, ...args: readonly string[]): Promise<string> {
    return (await run(program, args, { namespaces: this.#namespaces })).stdout;
  }

  /** Every rule there is, without counters. */
  async rules(): Promise<string[]> {
    const texts = await Promise.all([
      this.shell('iptables-save'),
      this.shell('ip6tables-save'),
      this.shell('nft', 'list', 'ruleset'),
    ]);
    return texts.flatMap(text => text.split('\n')).filter(line => /^-A|^\t\tip/.test(line));
  }
}

/** Network n: 10.n.0.0/16 and fd00:n::/48. */
const desired = (n: number, nftables: boolean): DesiredFirewall => ({
  nftables,
  blocks: [
    {
      network: Prefix.parse(`10.${n}.0.0/16`),
      subnet: Prefix.parse(`10.${n}.5.0/24`),
      devices: [`flannel.${n}`],
    },
    { network: Prefix.parse(`fd00:${n}::/48`), subnet: Prefix.parse(`fd00:${n}:0:5::/64`) },
  ],
  masquerade: true,
  forward: true,
  randomFully: false,
});
const networksOf = ({ blocks }: DesiredFirewall) => blocks.map(({ network }) => network);
const ofNetwork = (n: number) => (line: string) => line.includes(`10.${n}.`) || line.includes(`fd00:${n}:`);

describe('two networks on one host', needsRoot, () => {
  for (const nftables of [false, true]) {
    const mode = nftables ? 'nftables' : 'iptables';

    test(`A2: neither rewrites the other's rules, ${mode}`, async t => {
      const host = new Host(t);
      const [one, two] = [host.firewall(), host.firewall()];
      const [first, second] = [desired(3, nftables), desired(4, nftables)];
      await one.apply(first);
      const alone = (await host.rules()).filter(ofNetwork(3));
      await two.apply(second);
      host.writes = 0;
      for (const [firewall, wanted] of [
        [one, first],
        [two, second],
        [one, first],
      ] as const) {
        firewall.markStale();
        assert.deepEqual((await firewall.apply(wanted)).repaired, []);
      }
      assert.equal(host.writes, 0);
      assert.deepEqual((await host.rules()).filter(ofNetwork(3)), alone);
    });

    test(`A2: a repair of one leaves the other as it is, ${mode}`, async t => {
      const host = new Host(t);
      const [one, two] = [host.firewall(), host.firewall()];
      const [first, second] = [desired(3, nftables), desired(4, nftables)];
      await one.apply(first);
      await two.apply(second);
      const before = await host.rules();
      if (nftables) await host.shell('nft', 'flush', 'chain', 'ip', 'flannel-ipv4', 'forward');
      else await host.shell('iptables', '-F', 'FLANNEL-FWD');
      for (const [firewall, wanted] of [
        [one, first],
        [two, second],
      ] as const) {
        firewall.markStale();
        assert.equal((await firewall.apply(wanted)).repaired.length, 1);
      }
      assert.deepEqual((await host.rules()).toSorted(), before.toSorted());
    });

    test(`A6: cleanup of one leaves the other, and foreign rules in the same chains, ${mode}`, async t => {
      const host = new Host(t);
      await host.firewall().apply(desired(3, nftables));
      await host.firewall().apply(desired(4, nftables));
      const kept = (await host.rules()).filter(ofNetwork(4));
      await host.firewall().cleanup({ networks: networksOf(desired(3, nftables)), dryRun: false });
      assert.deepEqual((await host.rules()).filter(ofNetwork(4)), kept);
      assert.deepEqual((await host.rules()).filter(ofNetwork(3)), []);
      await host.firewall().cleanup({ networks: networksOf(desired(4, nftables)), dryRun: false });
      assert.deepEqual(await host.rules(), []);
    });
  }

  test('A6: a foreign rule stays that has the comment of flannel, and one of our network goes', async t => {
    const host = new Host(t);
    const comment = ['-m', 'comment', '--comment', 'flanneld masq'];
    const nat = (...rule: string[]) => host.shell('iptables', '-t', 'nat', '-A', 'POSTROUTING', ...rule);
    await nat('-s', '10.42.0.0/16', ...comment, '-j', 'MASQUERADE');
    await nat('-o', 'eth0', ...comment, '-j', 'MASQUERADE');
    const foreign = await host.rules();
    await nat('-s', '10.3.0.0/16', ...comment, '-j', 'MASQUERADE');
    const wanted = desired(3, false);
    await host.firewall().apply(wanted);
    await host.firewall().cleanup({ networks: networksOf(wanted), dryRun: false });
    assert.deepEqual(await host.rules(), foreign);
  });
});
