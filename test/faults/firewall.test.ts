/**
 * Firewalls of others that were found to stop the overlay, or to change whose its packets are: each is either overcome,
 * which packets prove, or named.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredFirewall } from '../../src/firewall/desired.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { Firewall } from '../../src/firewall/firewall.ts';
import { forwardingWarnings } from '../../src/network/forwarding.ts';
import { run, start } from '../../src/sys/process.ts';
import { readSysctl, writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { within } from '../support/eventually.ts';
import { type Namespace, neighbourhood } from '../support/neighbourhood.ts';

const BLOCK = {
  network: Prefix.parse('10.3.0.0/16'),
  subnet: Prefix.parse('10.3.5.0/24'),
  devices: ['p'],
  bridges: ['c'],
};
const PEERS = {
  link: 'p',
  ports: [4789],
  own: [Ip.parse('198.51.100.1')],
  peers: [Ip.parse('198.51.100.2')],
  isOpened: true,
};
const DESIRED: DesiredFirewall = {
  nftables: false,
  blocks: [BLOCK],
  masquerade: true,
  forward: true,
  randomFully: true,
  tunnel: PEERS,
};
const MODES = [false, true].map(nftables => ({
  mode: nftables ? 'nftables' : 'iptables',
  desired: { ...DESIRED, nftables },
}));

const programsIn =
  ({ namespaces }: Namespace): RunProgram =>
  (program, args, options) =>
    run(program, args, { ...options, namespaces });

/** The neighbourhood, where the peer has a container 10.3.6.2 that answers the addresses of the overlay only. */
async function overlay(t: TestContext) {
  const all = await neighbourhood(t);
  await all.peer.do(
    'ip link set lo up',
    'ip addr add 10.3.6.2/32 dev lo',
    'ip route add 10.3.5.0/24 via 198.51.100.1 src 10.3.6.2',
    'iptables -A INPUT -s 198.51.100.1 -p icmp -j DROP',
  );
  const firewall = new Firewall({ log: recordingLogger(), run: programsIn(all.host) });
  /** As the agent does after a change. @returns what is in the way */
  const apply = async (desired: DesiredFirewall) => {
    firewall.markStale();
    return (await firewall.apply(desired)).obstacles;
  };
  return { ...all, firewall, apply };
}

/** A VXLAN device `v` on either end, and 10.3.7.2 behind it. */
async function tunnel(host: Namespace, peer: Namespace) {
  const device = 'ip link add v type vxlan id 88 dstport 4789';
  await host.do(
    `${device} local 198.51.100.1 remote 198.51.100.2`,
    'ip addr add 10.3.5.0/32 dev v',
    'ip link set v up',
    'ip route add 10.3.7.2/32 dev v',
  );
  await peer.do(
    `${device} local 198.51.100.2 remote 198.51.100.1`,
    'ip addr add 10.3.7.2/32 dev v',
    'ip link set v up',
    'ip route replace 10.3.5.0/24 dev v src 10.3.7.2',
  );
  for (const end of [host, peer]) writeSysctl('net/ipv4/conf/v/proxy_arp', '1', end.netns);
}

// Most of the time an echo is waited for that must not come, and each test has namespaces of its own.
describe('rules of others', { ...needsRoot, concurrency: 3 }, () => {
  for (const { mode, desired } of MODES) {
    test(`F1: a policy of DROP in the other iptables is overcome, and left when it is gone, ${mode}`, async t => {
      const { host, container, firewall, apply } = await overlay(t);
      await host.do('iptables-legacy -P FORWARD DROP', 'ip6tables-legacy -A FORWARD -j REJECT');
      assert.equal(await container.reaches('10.3.6.2'), false);
      const ipv6 = { network: Prefix.parse('fd00:3::/48'), subnet: Prefix.parse('fd00:3:0:5::/64') };
      const dual = { ...desired, blocks: [BLOCK, ipv6] };
      firewall.markStale();
      assert.equal((await firewall.apply(dual)).announced, false, 'nobody announces changes of these rules');
      assert.equal(await container.reaches('10.3.6.2'), true);
      const { stdout } = await programsIn(host)('ip6tables-legacy-save', []);
      assert.match(stdout, /-A FORWARD .* -j FLANNEL-FWD\n-A FORWARD -j REJECT/);
      firewall.markStale();
      assert.deepEqual((await firewall.apply(dual)).repaired, []);
      await host.do('iptables-legacy -P FORWARD ACCEPT');
      await apply(dual);
      assert.doesNotMatch((await programsIn(host)('iptables-legacy-save', [])).stdout, /FLANNEL|TULLE/);
    });

    for (const iptables of ['iptables', 'iptables-legacy']) {
      test(`F2: what dockerd masquerades with ${iptables} keeps its source, ${mode}`, async t => {
        const { host, container, outside, apply } = await overlay(t);
        await outside.do('ip route add 10.3.5.0/24 via 192.0.2.1');
        const masquerade = `${iptables} -t nat -I POSTROUTING -s 10.3.5.0/24 ! -o c -j MASQUERADE`;
        await host.do(masquerade);
        assert.equal(await container.reaches('10.3.6.2'), false, 'the peer sees the host');
        assert.deepEqual(await apply(desired), []);
        assert.equal(await container.reaches('10.3.6.2'), true, 'the peer sees the container');
        // dockerd is started again.
        await host.do(masquerade);
        assert.deepEqual(await apply(desired), []);
        assert.equal(await container.reaches('10.3.6.2'), true);
        await apply({ ...desired, masquerade: false });
        assert.equal(await container.reaches('10.3.6.2'), true, 'also without --ip-masq');
      });
    }

    test(`F2: what dockerd 29 masquerades with nftables keeps its source, or is named, ${mode}`, async t => {
      const { host, container, apply } = await overlay(t);
      await host.do(
        'nft add table ip docker-bridges',
        'nft add chain ip docker-bridges nat-POSTROUTING {type nat hook postrouting priority 100; policy accept;}',
        'nft add rule ip docker-bridges nat-POSTROUTING ip saddr 10.3.5.0/24 oifname != c masquerade',
      );
      assert.equal(await container.reaches('10.3.6.2'), false, 'the peer sees the host');
      const hints = (await apply(desired)).map(({ hint }) => hint);
      if (!desired.nftables) return assert.match(hints.join(), /^start dockerd with --ip-masq=false/);
      assert.deepEqual(hints, []);
      assert.equal(await container.reaches('10.3.6.2'), true, 'the peer sees the container');
    });

    test(`F2: a chain of nftables that is earlier, and changes the source all the same, is named, ${mode}`, async t => {
      const { host, container, apply } = await overlay(t);
      await host.do(
        'nft add table ip early',
        'nft add chain ip early out {type nat hook postrouting priority 50; policy accept;}',
        'nft add rule ip early out ip saddr 10.3.5.0/24 oifname != c masquerade',
      );
      const [obstacle, ...others] = await apply(desired);
      assert.equal(await container.reaches('10.3.6.2'), false, 'the peer sees the host');
      assert.deepEqual(others, []);
      assert.match(
        obstacle?.text ?? '',
        /chain out of nftables table ip early changes the source of packets of cont/,
      );
      await host.do('nft insert rule ip early out ip daddr 10.3.0.0/16 accept');
      assert.deepEqual(await apply(desired), []);
      assert.equal(await container.reaches('10.3.6.2'), true);
    });

    test(`F4: tunnel packets of peers get past an INPUT that drops, unless that is switched off, ${mode}`, async t => {
      const { host, container, peer, apply } = await overlay(t);
      await tunnel(host, peer);
      assert.equal(await container.reaches('10.3.7.2'), true, 'nothing drops');
      for (const drop of ['iptables -P INPUT DROP', 'iptables-legacy -A INPUT -p udp -j DROP']) {
        await host.do(drop);
        await apply({ ...desired, tunnel: { ...PEERS, isOpened: false } });
        assert.equal(await container.reaches('10.3.7.2'), false, drop);
        assert.deepEqual(
          await apply({ ...desired, tunnel: { ...PEERS, peers: [Ip.parse('198.51.100.3')] } }),
          [],
        );
        assert.equal(await container.reaches('10.3.7.2'), false, 'only peers are let in');
        assert.deepEqual(await apply(desired), []);
        assert.equal(await container.reaches('10.3.7.2'), true, drop);
      }
    });

    test(`F8: dockerd 29 lets through what has the mark, ${mode}`, async t => {
      const { host, container, outside, peer, apply } = await overlay(t);
      await outside.do('ip route add 10.3.5.0/24 via 192.0.2.1');
      // With --firewall-backend=nftables --allow-direct-routing, and the bridge `c`.
      await host.do(
        'nft add table ip docker-bridges',
        'nft add chain ip docker-bridges filter-FORWARD {type filter hook forward priority 0; policy accept;}',
        'nft add chain ip docker-bridges filter-forward-in__c',
        'nft add map ip docker-bridges filter-forward-in-jumps {type ifname : verdict;}',
        'nft add element ip docker-bridges filter-forward-in-jumps {c : jump filter-forward-in__c}',
        'nft add rule ip docker-bridges filter-FORWARD oifname vmap @filter-forward-in-jumps',
        'nft add rule ip docker-bridges filter-forward-in__c ct state established,related counter accept',
        'nft add rule ip docker-bridges filter-forward-in__c iifname c counter accept',
        'nft add rule ip docker-bridges filter-forward-in__c counter drop comment "UNPUBLISHED_PORT_DROP"',
      );
      const [obstacle, ...others] = await apply(desired);
      assert.equal(await peer.reaches('10.3.5.2'), false);
      // F7: one obstacle is reported once, with a hint.
      assert.deepEqual(others, []);
      assert.match(obstacle?.text ?? '', /UNPUBLISHED.PORT.DROP.* in chain filter-forward-in__c$/);
      assert.match(obstacle?.hint ?? '', /--allow-direct-routing --bridge-accept-fwmark=0x10000\/0x10000/);
      // As --bridge-accept-fwmark=0x10000/0x10000 makes it.
      await host.do(
        'nft insert rule ip docker-bridges filter-forward-in__c meta mark & 0x10000 == 0x10000 accept',
      );
      assert.deepEqual(await apply(desired), []);
      assert.equal(await peer.reaches('10.3.5.2'), true, 'a container of another host');
      assert.equal(await container.reaches('10.3.6.2'), true);
      assert.equal(await outside.reaches('10.3.5.2'), false, 'and nobody else');
    });
  }

  for (const { mode, desired } of MODES) {
    test(`F6: a process bound to the address of the underlay is masqueraded alike, ${mode}`, async t => {
      const { host, peer, apply } = await overlay(t);
      await tunnel(host, peer);
      await peer.do('iptables -A INPUT -i v -p icmp ! -s 10.3.5.0 -j DROP');
      assert.equal(await host.reaches('10.3.7.2', '198.51.100.1'), false);
      await apply({ ...desired, blocks: [{ ...BLOCK, devices: ['v'] }] });
      assert.equal(await host.reaches('10.3.7.2', '198.51.100.1'), true, 'it comes from the tunnel device');
    });
  }

  test('F5: strict reverse path filtering is named exactly where it loses packets', async t => {
    const { host, container, peer, apply } = await overlay(t);
    await tunnel(host, peer);
    await peer.do('iptables -F INPUT');
    for (const { filter, masquerade, reached } of [
      { filter: '0', masquerade: false, reached: true },
      { filter: '1', masquerade: false, reached: false },
      { filter: '2', masquerade: false, reached: true },
      { filter: '1', masquerade: true, reached: true },
    ]) {
      for (const { netns } of [host, peer]) writeSysctl('net/ipv4/conf/all/rp_filter', filter, netns);
      await apply({ ...DESIRED, masquerade, blocks: [{ ...BLOCK, devices: ['v'] }] });
      const what = `rp_filter ${filter}, ${masquerade ? 'with' : 'without'} masquerading`;
      assert.equal(await host.reaches('10.3.7.2', '198.51.100.1'), reached, what);
      assert.equal(await container.reaches('10.3.7.2'), true, what);
      const warnings = forwardingWarnings(path => readSysctl(path, host.netns), {
        families: ['ipv4'],
        links: ['p', 'v'],
        masquerade,
      });
      assert.deepEqual(
        warnings.map(({ code }) => code),
        reached ? [] : ['STRICT_RP_FILTER'],
        what,
      );
    }
  });

  test('F3: a lock that another program holds is waited for, and does not count as "no --random-fully here"', async t => {
    const { host } = await overlay(t);
    const directory = mkdtempSync(join(tmpdir(), 'tt-lock-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const lock = join(directory, 'xtables.lock');
    const legacy: RunProgram = (program, args, options) => {
      const words = [program.replace(/^(ip6?tables)/, '$1-legacy'), ...args].map(word =>
        word === '5' ? '1' : word,
      );
      return programsIn(host)('env', [`XTABLES_LOCKFILE=${lock}`, ...words], options);
    };
    const holder = await start('flock', ['--no-fork', lock, 'sh', '-c', 'echo locked; exec sleep 600'], {
      pipeOutput: true,
    });
    t.after(() => holder.kill('SIGKILL'));
    if (holder.stdout !== undefined) await within('flock has the lock', once(holder.stdout, 'data'));
    const firewall = new Firewall({ log: recordingLogger(), run: legacy });
    await assert.rejects(firewall.apply(DESIRED), { code: 'LOCKED', message: /lock/ });
    holder.kill('SIGKILL');
    await within('flock ends', holder.exited);
    await firewall.apply(DESIRED);
    const { stdout } = await programsIn(host)('iptables-legacy-save', ['-t', 'nat']);
    assert.match(stdout, /MASQUERADE --random-fully/);
  });
});
