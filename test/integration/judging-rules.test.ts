/** Rules that judge each packet, as they are written with nft, iptables and ebtables, and as the kernel lists them. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { RunProgram } from '../../src/firewall/engine.ts';
import { judgingRules } from '../../src/firewall/judging/read-judging.ts';
import { RuleWatch } from '../../src/firewall/judging/rule-watch.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, within } from '../support/eventually.ts';
import { Namespace } from '../support/neighbourhood.ts';

const traffic = { prefixes: [Prefix.parse('10.3.0.0/16')], ports: [8472] };

function host(t: TestContext) {
  const place = new Namespace(t);
  const programs: RunProgram = (program, args, options) =>
    run(program, args, { ...options, namespaces: place.namespaces });
  return {
    place,
    programs,
    /** Rules in chain `c` of a table, with what a rule may refer to. */
    async nft(rules: string, base = 'filter hook forward priority 0', family = 'inet') {
      const input = `
        table ${family} t {
          limit rate-of-all { rate 5/second; }
          quota first { 100 mbytes; }
          chain logged { log; counter; return; }
          chain dropped { log; drop; }
          chain unused { limit rate 5/second drop; }
          chain c { type ${base}; ${rules}; }
        }`;
      await programs('nft', ['-f', '-'], { input });
      const found = await judgingRules(place.netns, programs, traffic);
      await place.do(`nft delete table ${family} t`);
      return found.map(({ rule }) => rule);
    },
  };
}

test('rules of nftables that judge each packet', needsRoot, async t => {
  const { nft } = host(t);
  const rules: readonly (readonly [string, string])[] = [
    ['limit rate 5/second drop', 'limit a rate, drop'],
    ['limit rate over 5 mbytes/second reject', 'limit a rate, reject'],
    ['limit name "rate-of-all" drop', 'limit a rate, drop'],
    ['limit rate 5/second jump dropped', 'limit a rate, jump dropped'],
    ['limit rate 5/second meta mark set 5', 'limit a rate, set meta'],
    ['quota name "first" drop', 'count down a quota, drop'],
    ['ct count over 5 reject', 'count connections, reject'],
    ['numgen random mod 10 < 3 drop', 'choose packets by number or chance, drop'],
    ['meta random < 1000 drop', 'choose packets by number or chance, drop'],
    ['ct bytes > 1000 drop', 'count packets or bytes of connections, drop'],
    ['ip length > 1000 drop', 'look at the length, drop'],
    ['udp dport 53 @th,160,32 1 drop', 'look into the content, drop'],
    ['udp length 20 drop', 'look into the content, drop'],
    ['ip id 5 drop', 'look at what packets of a flow differ in, drop'],
    ['ip ecn ce drop', 'look at what packets of a flow differ in, drop'],
    ['ip frag-off & 0x4000 != 0 drop', 'look at what packets of a flow differ in, drop'],
    ['tcp flags & (ack|psh) == ack|psh drop', 'look at what packets of a flow differ in, drop'],
    ['tcp option sack exists drop', 'look at what packets of a flow differ in, drop'],
    ['ip frag-off set 0', 'change packets, set payload'],
    ['meter m { ip saddr limit rate 5/second } drop', 'limit a rate, drop'],
    ['ct state established,new limit rate 5/second drop', 'limit a rate, drop'],
    ['ip saddr 10.3.5.0/24 ip daddr 10.0.0.0/8 limit rate 5/second drop', 'limit a rate, drop'],
    ['ip saddr != 10.3.0.0/17 limit rate 5/second drop', 'limit a rate, drop'],
    ['tcp flags & (fin|syn|rst|ack) == ack limit rate 5/second drop', 'limit a rate, drop'],
    ['reset tcp option timestamp', 'change packets'],
  ];
  for (const [rule, expected] of rules) assert.deepEqual(await nft(rule), [expected], rule);
});

test('rules of nftables that do not, or only others', needsRoot, async t => {
  const { nft } = host(t);
  for (const rule of [
    'ct state established accept',
    'limit rate 5/second log',
    'limit rate 5/second jump logged',
    'counter; ct state invalid drop',
    'ct state new limit rate 5/second drop',
    'ip protocol icmp limit rate 5/second accept',
    'icmp type echo-request limit rate 5/second accept',
    'meta nfproto ipv6 limit rate 5/second accept',
    'tcp flags & (fin|syn|rst|ack) == syn ct count over 5 reject',
    'tcp flags syn limit rate 5/second drop',
    'tcp flags & (fin|psh|urg) == fin|psh|urg drop',
    'tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0 drop',
    'ip frag-off & 0x1fff != 0 drop',
    'ip ttl < 5 drop',
    'ip ttl set 64',
    'ip dscp 5 drop',
    'meta l4proto icmp jump unused',
    'ip saddr 192.0.2.0/24 limit rate 5/second drop',
    'ip dscp set 5',
    'tcp option maxseg size set 1300',
    'meta mark set 5',
  ])
    assert.deepEqual(await nft(rule), [], rule);
});

test('where they are matters', needsRoot, async t => {
  const { nft, place } = host(t);
  await place.do('ip link add cable type veth peer name other');
  const limit = 'limit rate 5/second drop';
  for (const [base, family] of [
    ['filter hook prerouting priority raw', 'ip'],
    ['filter hook postrouting priority 0', 'inet'],
    ['filter hook forward priority 0', 'bridge'],
    ['filter hook input priority 0', 'bridge'],
    ['filter hook ingress device "cable" priority 0', 'netdev'],
    ['filter hook input priority 0', 'inet'],
    ['filter hook output priority 0', 'ip'],
  ] as const)
    assert.deepEqual(await nft(limit, base, family), ['limit a rate, drop'], `${family} ${base}`);
  for (const [base, family] of [
    ['nat hook prerouting priority 0', 'ip'],
    ['filter hook forward priority 0', 'ip6'],
  ] as const)
    assert.deepEqual(await nft(limit, base, family), [], `${family} ${base}`);
});

test('packets of tunnels meet rules of their own hosts', needsRoot, async t => {
  const { nft } = host(t);
  const input = 'filter hook input priority 0';
  for (const rule of [
    'udp dport 8472 limit rate 5/second accept',
    'ct state new limit rate 5/second accept',
    'ip saddr 192.0.2.0/24 limit rate 5/second accept',
    'meta l4proto udp meta length > 1000 drop',
  ])
    assert.equal((await nft(rule, input)).length, 1, rule);
  for (const rule of [
    'tcp dport 8472 limit rate 5/second accept',
    'udp dport 53 limit rate 5/second accept',
    'udp dport != 8472 limit rate 5/second accept',
    'ct state invalid limit rate 5/second accept',
    'tcp dport 22 goto unused',
    'udp dport 8472 @th,160,32 1 drop',
  ])
    assert.deepEqual(await nft(rule, input), [], rule);
});

/** Commands, and how many rules of theirs judge each packet. */
const PROGRAMS: readonly (readonly [command: string, count: number])[] = [
  ['iptables-nft -A FORWARD -m limit --limit 3/s -j DROP', 1],
  ['iptables-nft -A FORWARD -m limit --limit 3/s -j LOG', 0],
  ['iptables-nft -A FORWARD -m statistic --mode random --probability 0.5 -j DROP', 1],
  ['iptables-nft -A FORWARD -m conntrack --ctstate NEW -m recent --set -j DROP', 0],
  ['iptables-nft -A FORWARD -m conntrack ! --ctstate NEW -m recent --set -j DROP', 1],
  ['iptables-nft -A FORWARD -p tcp --syn -m connlimit --connlimit-above 5 -j REJECT', 0],
  ['iptables-nft -A FORWARD -p icmp -m limit --limit 3/s -j ACCEPT', 0],
  ['iptables-nft -t mangle -A FORWARD -j TEE --gateway 10.0.0.1', 1],
  ['iptables-nft -t raw -A PREROUTING -j CT --zone 5', 1],
  ['iptables-nft -t raw -A PREROUTING -j CT --notrack', 0],
  ['iptables-nft -t nat -A PREROUTING -m statistic --mode random --probability 0.5 -j ACCEPT', 0],
  ['iptables-nft -A FORWARD -p tcp --tcp-flags ACK,PSH ACK,PSH -j DROP', 1],
  ['iptables-nft -A FORWARD -p tcp --tcp-flags ALL NONE -j DROP', 0],
  ['iptables-nft -A FORWARD -f -j DROP', 0],
  ['iptables-nft -A INPUT -p udp -m limit --limit 3/s -j ACCEPT', 1],
  ['iptables-nft -A INPUT -p udp --dport 53 -m limit --limit 3/s -j ACCEPT', 0],
  ['ebtables-nft -A FORWARD --limit 5/s -j DROP', 1],
  ['ebtables-nft -A FORWARD -d ff:ff:ff:ff:ff:ff --limit 5/s -j DROP', 0],
  ['iptables-legacy -A FORWARD -m limit --limit 3/s -j DROP', 1],
  ['iptables-legacy -A OUTPUT -p udp --dport 8472 -m limit --limit 3/s -j ACCEPT', 1],
  ['iptables-legacy -A FORWARD -m conntrack --ctstate NEW -m limit --limit 3/s -j DROP', 0],
];

test('rules of iptables and ebtables', needsRoot, async t => {
  for (const [command, count] of PROGRAMS) {
    const { place, programs } = host(t);
    await place.do(command);
    assert.equal((await judgingRules(place.netns, programs, traffic)).length, count, command);
  }
});

test('a change of rules is told of at once, and then what they judge', needsRoot, async t => {
  const { place, programs } = host(t);
  const ended = new AbortController();
  let changed = Promise.withResolvers<void>();
  const watch = new RuleWatch({
    netns: place.netns,
    run: programs,
    clock: systemClock,
    log: silentLogger,
    onChange: () => changed.resolve(),
  });
  const running = watch.run(ended.signal);
  t.after(() => ended.abort());
  const judging = (count: number) =>
    watch.judging.until(rules => rules?.length === count, deadline(`${count} rules judge each packet`));
  await judging(0);
  for (const command of [
    'iptables-nft -A FORWARD -m limit --limit 3/s -j DROP',
    'nft flush chain ip filter FORWARD',
    'ebtables-nft -A FORWARD --limit 5/s -j DROP',
    'iptables-legacy -A FORWARD -m quota --quota 1000 -j ACCEPT',
  ]) {
    changed = Promise.withResolvers();
    await place.do(command);
    await within(`${command} is announced`, changed.promise);
    if (command.startsWith('nft')) await judging(0);
  }
  assert.deepEqual(
    (await judging(2))?.map(({ where }) => where),
    ['chain FORWARD of nftables table bridge filter', 'chain FORWARD of iptables-legacy table filter'],
  );
  ended.abort();
  await within('the watch ends', running);
});
