import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { parseSave } from '../iptables/saved.ts';
import { judgingInSaved } from './saved.ts';

const traffic = { prefixes: [Prefix.parse('10.3.0.0/16')], ports: [8472] };

/** What is found of rules, which are those of table filter unless a line says otherwise. */
function found(...rules: string[]): string[] {
  const chains = [
    'INPUT ACCEPT',
    'OUTPUT ACCEPT',
    'FORWARD ACCEPT',
    'PREROUTING ACCEPT',
    'POSTROUTING ACCEPT',
  ];
  const own = new Set(rules.flatMap(rule => /^-A (DOCKER-USER|LOGGED|LIMITED)/.exec(rule)?.[1] ?? []));
  const save = [
    '*filter',
    ...chains.map(chain => `:${chain} [0:0]`),
    ...Array.from(own, name => `:${name} - [0:0]`),
  ];
  const tables = parseSave([...save, ...rules, 'COMMIT'].join('\n'));
  return judgingInSaved('iptables-legacy', tables, traffic).map(({ rule }) => rule);
}

test('a rule that judges each packet is named with its place', () => {
  const save = [
    '*mangle',
    ':FORWARD ACCEPT [0:0]',
    '-A FORWARD -j NFQUEUE --queue-num 1',
    'COMMIT',
    '*filter',
    ':FORWARD ACCEPT [0:0]',
    ':DOCKER-USER - [0:0]',
    '-A FORWARD -j DOCKER-USER',
    '-A DOCKER-USER -m limit --limit 3/sec -j ACCEPT',
    'COMMIT',
  ];
  assert.deepEqual(judgingInSaved('iptables-legacy', parseSave(save.join('\n'))), [
    {
      where: 'chain FORWARD of iptables-legacy table mangle',
      rule: 'ask a program in user space, NFQUEUE',
      look: 'iptables-legacy -t mangle -S FORWARD',
    },
    {
      where: 'chain DOCKER-USER of iptables-legacy table filter',
      rule: 'limit a rate, ACCEPT',
      look: 'iptables-legacy -t filter -S DOCKER-USER',
    },
  ]);
});

test('each match and target that looks at packets one by one', () => {
  for (const rule of [
    '-m limit --limit 3/sec -j DROP',
    '-p tcp -m hashlimit --hashlimit-above 5/sec --hashlimit-name x -j DROP',
    '-m quota --quota 1000 -j ACCEPT',
    '-s 10.3.0.0/17 -m statistic --mode random --probability 0.5 -j DROP',
    '-m connbytes --connbytes 1000: --connbytes-mode bytes --connbytes-dir both -j DROP',
    '-m recent --update --seconds 60 --hitcount 4 --name DEFAULT --mask 255.255.255.255 --rsource -j DROP',
    '-m conntrack ! --ctstate NEW -m limit --limit 3/sec -j DROP',
    '-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 3/sec -j DROP',
    '-m string --string "a b" --algo bm -j DROP',
    '-m ecn --ecn-ip-ect 3 -j DROP',
    '-p tcp -m tcp --tcp-flags PSH,ACK PSH,ACK -j DROP',
    '-j TEE --gateway 10.0.0.1',
    '-j CT --zone 5',
    '-p tcp -m tcp --dport 21 -j CT --helper ftp',
  ])
    assert.equal(found(`-A FORWARD ${rule}`).length, 1, rule);
});

test('what decides nothing, or cannot be met by a packet of a proven flow, is none', () => {
  for (const rule of [
    '-A FORWARD -j ACCEPT',
    '-A FORWARD -m limit --limit 3/sec -j LOG',
    '-A FORWARD -m limit --limit 3/sec',
    '-A FORWARD -p icmp -m limit --limit 3/sec -j ACCEPT',
    '-A FORWARD -m conntrack --ctstate INVALID,NEW -m limit --limit 3/sec -j DROP',
    '-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connlimit --connlimit-above 20 -j REJECT',
    '-A FORWARD -d 192.0.2.0/24 -m limit --limit 3/sec -j DROP',
    '-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP',
    '-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG -j DROP',
    '-A FORWARD -m ttl --ttl-lt 5 -j DROP',
    '-A DOCKER-USER -m limit --limit 3/sec -j DROP',
    '-A PREROUTING -j CT --notrack',
  ])
    assert.deepEqual(found(rule), [], rule);
});

test('packets of tunnels meet rules of their own hosts', () => {
  for (const rule of ['-p udp', '-p udp -m multiport --dports 53,8000:9000', '-m conntrack --ctstate NEW'])
    for (const chain of ['INPUT', 'OUTPUT'])
      assert.equal(found(`-A ${chain} ${rule} -m limit --limit 3/sec -j ACCEPT`).length, 1, rule);
  for (const rule of ['-p tcp', '-p udp -m udp --dport 53', '-m conntrack --ctstate INVALID'])
    assert.deepEqual(found(`-A INPUT ${rule} -m limit --limit 3/sec -j ACCEPT`), [], rule);
  assert.deepEqual(found('-A INPUT -p udp -m udp --dport 8472 -m u32 --u32 "0=1" -j DROP'), []);
});

test('a chain that no such packet is led to judges none', () => {
  const limited = '-A LIMITED -m limit --limit 3/sec -j DROP';
  assert.deepEqual(found('-A INPUT -p tcp -m tcp --dport 22 -j LIMITED', limited), []);
  assert.equal(found('-A INPUT -j LIMITED', limited).length, 1);
});

test('a chain that is jumped to decides by what is in it', () => {
  const jump = '-A FORWARD -m limit --limit 3/sec -j LOGGED';
  assert.deepEqual(found(jump, '-A LOGGED -j LOG', '-A LOGGED -j RETURN'), []);
  assert.equal(found(jump, '-A LOGGED -j LOG', '-A LOGGED -j DROP').length, 1);
});

test('translations of addresses see the first packet only', () => {
  const save =
    '*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m statistic --mode nth --every 2 --packet 0 -j ACCEPT\n';
  assert.deepEqual(judgingInSaved('iptables-legacy', parseSave(save)), []);
});
