/** F4: what stops the overlay is named wherever it is, and what is meant for single hosts, or is none of our packets, is not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredFirewall } from './desired.ts';
import { parseSave } from './iptables/saved.ts';
import { readRuleset } from './nftables/reader.ts';
import { obstaclesInRuleset, obstaclesInSaved } from './obstacles.ts';
import { rulesFor } from './rules.ts';

const DESIRED: DesiredFirewall = {
  nftables: true,
  blocks: [
    {
      network: Prefix.parse('10.3.0.0/16'),
      subnet: Prefix.parse('10.3.5.0/24'),
      devices: ['flannel.88'],
      bridges: ['docker0'],
    },
  ],
  masquerade: true,
  forward: true,
  randomFully: true,
  tunnel: {
    link: 'eth0',
    ports: [4789],
    own: [Ip.parse('192.0.2.1')],
    peers: [Ip.parse('192.0.2.2'), Ip.parse('192.0.2.3')],
    isOpened: true,
  },
};
const { packets } = rulesFor(DESIRED, 'ipv4');
const IPV6_PACKETS = rulesFor(
  { ...DESIRED, blocks: [{ network: Prefix.parse('fd03::/48'), subnet: Prefix.parse('fd03:0:0:5::/64') }] },
  'ipv6',
).packets;

const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
const meta = (key: string) => ({ meta: { key } });
const ip6 = (field: string) => ({ payload: { protocol: 'ip6', field } });
const ip = (field: string) => ({ payload: { protocol: 'ip', field } });
const udpPort = { payload: { protocol: 'udp', field: 'dport' } };
const block = (addr: string, len: number) => ({ prefix: { addr, len } });
const DROP = { drop: null };
const ACCEPT = { accept: null };

interface Ruleset {
  readonly family?: string;
  readonly hook: string;
  readonly type?: string;
  readonly prio?: number;
  readonly policy?: string;
  readonly rules: readonly (readonly object[])[];
  /** Other objects of the table. */
  readonly also?: readonly object[];
  readonly concerned?: typeof packets;
}

function obstaclesOf({
  family = 'inet',
  hook,
  type = 'filter',
  prio = 0,
  policy = 'accept',
  rules,
  also = [],
  concerned = packets,
}: Ruleset) {
  const place = { family, table: 'guard' };
  const listing = {
    nftables: [
      { chain: { ...place, name: 'base', type, hook, prio, policy } },
      ...rules.map((expr, index) => ({ rule: { ...place, chain: 'base', handle: index + 1, expr } })),
      ...also,
    ],
  };
  return obstaclesInRuleset(readRuleset(JSON.stringify(listing)), concerned, () => ['eth0'], 99);
}

const NAMED: readonly (Ruleset & { readonly name: string; readonly drops: RegExp })[] = [
  {
    name: 'a drop of the port in INPUT',
    hook: 'input',
    rules: [[match(udpPort, 4789), DROP]],
    drops: /drops tunnel packets of peers: handle 1$/,
  },
  {
    name: 'of a range of ports, in prerouting',
    hook: 'prerouting',
    rules: [[match(udpPort, { set: [53, { range: [4000, 5000] }] }), DROP]],
    drops: /tunnel packets of peers/,
  },
  {
    name: 'of one peer',
    hook: 'output',
    rules: [[match(ip('daddr'), '192.0.2.3'), DROP]],
    drops: /tunnel packets to peers/,
  },
  {
    name: 'at the card',
    family: 'netdev',
    hook: 'ingress',
    rules: [[match(meta('protocol'), 'ip'), match(udpPort, 4789), DROP]],
    drops: /tunnel packets of peers/,
  },
  {
    name: 'on the ports of a bridge',
    family: 'bridge',
    hook: 'prerouting',
    rules: [[match(ip('daddr'), block('10.3.0.0', 16)), DROP]],
    drops: /packets of containers to other hosts/,
  },
  {
    name: 'of everything from elsewhere than the LAN',
    hook: 'input',
    rules: [[match(ip('saddr'), block('10.0.0.0', 8), '!='), DROP]],
    drops: /tunnel packets of peers/,
  },
  {
    name: 'of everything that is not a known protocol',
    hook: 'input',
    policy: 'drop',
    rules: [
      [match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), ACCEPT],
      [match(meta('iifname'), 'lo'), ACCEPT],
      [match({ payload: { protocol: 'tcp', field: 'dport' } }, 22), ACCEPT],
    ],
    drops: /its policy is drop/,
  },
  {
    name: 'in a chain that a map leads to',
    hook: 'forward',
    rules: [[{ vmap: { key: meta('oifname'), data: '@ways' } }]],
    also: [
      {
        map: {
          family: 'inet',
          table: 'guard',
          name: 'ways',
          elem: [['docker0', { goto: { target: 'far' } }]],
        },
      },
      { rule: { family: 'inet', table: 'guard', chain: 'far', comment: 'the end', expr: [DROP] } },
    ],
    drops: /packets of other hosts to containers: comment "the end" in chain far$/,
  },
  {
    name: 'in a chain that a rule jumps to',
    hook: 'forward',
    rules: [[match(meta('oifname'), 'docker0'), { jump: { target: 'far' } }]],
    also: [{ rule: { family: 'inet', table: 'guard', chain: 'far', handle: 9, expr: [DROP] } }],
    drops: /packets of other hosts to containers: handle 9 in chain far$/,
  },
  {
    name: 'after a chain that lets nothing pass',
    hook: 'forward',
    rules: [
      [{ xt: { type: 'match', name: 'bpf' } }, { jump: { target: 'empty' } }],
      [match(meta('oifname'), 'docker0'), DROP],
    ],
    drops: /packets of other hosts to containers: handle 2$/,
  },
  {
    name: 'of one protocol, by its name',
    hook: 'input',
    rules: [[match(ip('protocol'), 'udp'), DROP]],
    drops: /tunnel packets of peers/,
  },
  {
    name: 'of everything that some hosts have not sent',
    hook: 'forward',
    rules: [[match(meta('iifname'), 'flannel.88'), match(ip('saddr'), block('10.3.128.0', 17), '!='), DROP]],
    drops: /packets of other hosts to containers/,
  },
  {
    name: 'of everything but one protocol from anywhere',
    hook: 'forward',
    policy: 'drop',
    rules: [
      [
        match(ip('saddr'), block('0.0.0.0', 0)),
        match({ payload: { protocol: 'tcp', field: 'dport' } }, 22),
        ACCEPT,
      ],
    ],
    drops: /its policy is drop/,
  },
  {
    name: 'of IPv6, where that is used',
    hook: 'forward',
    rules: [[match(meta('nfproto'), 'ipv6'), match(ip6('saddr'), block('fd03:0:0:5::', 64)), DROP]],
    concerned: IPV6_PACKETS,
    drops: /packets of containers to other hosts/,
  },
  {
    name: 'of a whole host',
    hook: 'forward',
    rules: [[match(ip('saddr'), '@bad'), DROP]],
    also: [{ set: { family: 'inet', table: 'guard', name: 'bad', elem: [block('10.3.7.0', 24)] } }],
    drops: /packets of other hosts to containers/,
  },
  {
    name: 'a masquerade that is earlier',
    hook: 'postrouting',
    type: 'nat',
    prio: 99,
    rules: [[match(meta('oifname'), 'docker0', '!='), { masquerade: null }]],
    drops: /changes the source of packets of containers to other hosts/,
  },
];

const HARMLESS: readonly (Ruleset & { readonly name: string })[] = [
  { name: 'of other ports', hook: 'input', rules: [[match(udpPort, 8472), DROP]] },
  {
    name: 'of invalid packets',
    hook: 'forward',
    rules: [[match({ ct: { key: 'state' } }, 'invalid', 'in'), DROP]],
  },
  { name: 'on another link', hook: 'forward', rules: [[match(meta('iifname'), 'eth1'), DROP]] },
  { name: 'of IPv6', hook: 'forward', rules: [[match(meta('nfproto'), 'ipv6'), DROP]] },
  {
    name: 'of IPv4, where that is not used',
    hook: 'forward',
    rules: [[match(meta('nfproto'), 'ipv4'), DROP]],
    concerned: IPV6_PACKETS,
  },
  {
    name: 'of what does not have our mark',
    hook: 'forward',
    rules: [
      [match({ '&': [meta('mark'), 0x10000] }, 0x10000), ACCEPT],
      [match(meta('iifname'), 'flannel.88'), DROP],
    ],
  },
  { name: 'of one container', hook: 'forward', rules: [[match(ip('daddr'), '10.3.5.9'), DROP]] },
  { name: 'of a kind of traffic', hook: 'forward', rules: [[match(meta('l4proto'), 'tcp'), DROP]] },
  {
    name: 'where it is not known',
    hook: 'forward',
    rules: [[{ xt: { type: 'match', name: 'bpf' } }, DROP]],
  },
  {
    name: 'of what peers are exempt from',
    hook: 'input',
    policy: 'drop',
    rules: [[match(ip('saddr'), { set: [block('192.0.2.0', 24)] }), ACCEPT]],
  },
  {
    name: 'of what a person has allowed in part',
    hook: 'forward',
    policy: 'drop',
    rules: [
      [
        match(ip('daddr'), block('10.3.0.0', 16)),
        match({ payload: { protocol: 'tcp', field: 'dport' } }, 80),
        ACCEPT,
      ],
      [
        match(ip('saddr'), block('10.3.0.0', 16)),
        match({ ct: { key: 'state' } }, 'established', 'in'),
        ACCEPT,
      ],
      [match(ip('saddr'), block('10.3.5.0', 24)), ACCEPT],
    ],
  },
  {
    name: 'a masquerade that comes after',
    hook: 'postrouting',
    type: 'nat',
    prio: 100,
    rules: [[{ masquerade: null }]],
  },
];

describe('a drop', () => {
  for (const { name, drops, ...ruleset } of NAMED) {
    test(`F4: is named wherever it is: ${name}`, () => {
      const [obstacle, ...others] = obstaclesOf(ruleset);
      assert.deepEqual(others, []);
      assert.match(obstacle?.text ?? '', drops);
      assert.match(obstacle?.hint ?? '', /`nft -a list table \w+ guard` shows/);
    });
  }

  for (const { name, ...ruleset } of HARMLESS) {
    test(`is none of our business: ${name}`, () => assert.deepEqual(obstaclesOf(ruleset), []));
  }

  for (const [table, rule, drops] of [
    [
      'raw',
      '-A PREROUTING -p udp -m udp --dport 4789 -j DROP',
      /chain PREROUTING of iptables table raw drops tunnel/,
    ],
    [
      'filter',
      '-A OUTPUT ! -d 10.0.0.0/8 -o eth+ -p 17 -j REJECT',
      /chain OUTPUT .* tunnel packets to peers/,
    ],
    ['mangle', '-A FORWARD -i flannel.88 -m comment --comment "a \\"b" -j DROP', /packets of other hosts/],
    ['raw', '-A PREROUTING -s 10.3.5.0/24 -i docker0 -j DROP', /packets of containers to other hosts/],
    ['filter', '-A INPUT -p udp -m multiport --dports 53,4789 -j DROP', undefined],
    ['raw', '-A PREROUTING -i flannel.88 -j DROP', undefined],
    ['mangle', '-A FORWARD -m set --match-set bad src -j DROP', undefined],
    ['mangle', '-A PREROUTING -p tcp -m tcp --dport 22 -j DROP', undefined],
  ] as const) {
    const name = `${drops === undefined ? 'is overcome or harmless' : 'F4: is named wherever it is'}: ${table} ${rule}`;
    test(name, () => {
      const [, chain] = rule.split(' ');
      const saved = parseSave([`*${table}`, `:${chain} ACCEPT [0:0]`, rule, 'COMMIT'].join('\n'));
      const texts = obstaclesInSaved('iptables', saved, packets).map(({ text }) => text);
      assert.equal(texts.length, drops === undefined ? 0 : 1);
      if (drops !== undefined) assert.match(texts[0] ?? '', drops);
    });
  }
});
