import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { namesInMemory } from '../../test/support/names.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { TYPE } from './constants.ts';
import { addressOfReverse } from './domain-name.ts';
import { type ResolverContext, resolve } from './resolver.ts';

const names = namesInMemory(
  'blue 10.9.1.2 web api',
  'blue 10.9.2.2 db_1 api',
  'blue fd00:9::2 web',
  'my.net 10.8.1.2 web.1 web',
  'default 10.5.34.2 web',
);
const NETWORKS = [
  { name: 'blue', networks: { ipv4: Prefix.parse('10.9.0.0/16'), ipv6: Prefix.parse('fd00:9::/64') } },
  { name: 'my.net', networks: { ipv4: Prefix.parse('10.8.0.0/16') } },
  { name: 'empty', networks: { ipv4: Prefix.parse('10.7.0.0/16') } },
  { name: 'default', networks: { ipv4: Prefix.parse('10.5.0.0/16') } },
];

/** `0 10.9.1.2 ...`, with the name of the zone behind `@` where there is nothing; or `forward`. */
function ask(
  name: string,
  type: keyof typeof TYPE = 'A',
  given: Partial<ResolverContext> = {},
  cls = 1,
): string {
  const context = { names, networks: NETWORKS, askersNetworks: ['blue'], turn: 0, ...given };
  const answer = resolve({ name, type: TYPE[type], class: cls }, context);
  if (answer === 'forward') return answer;
  const records = answer.records.map(record =>
    record.type === 'address' ? `${record.ip}` : record.type === 'pointer' ? record.name : record.type,
  );
  return [answer.rcode, ...records, ...(answer.zone === undefined ? [] : [`@${answer.zone}`])].join(' ');
}

describe('a question is answered', () => {
  for (const [what, question, expected] of [
    ['by name on the network of the asker', ask('web'), '0 10.9.1.2'],
    ['for the other family', ask('web', 'AAAA'), '0 fd00:9::2'],
    ['for any type', ask('web', 'ANY'), '0 10.9.1.2 fd00:9::2'],
    ['with underscores', ask('db_1'), '0 10.9.2.2'],
    ['with no data for another family', ask('db_1', 'AAAA'), '0 @db_1'],
    ['with no data for another type', ask('web', 'NS'), '0 @web'],
    ['with all addresses of an alias', ask('api'), '0 10.9.1.2 10.9.2.2'],
    ['in turns', ask('api', 'A', { turn: 1 }), '0 10.9.2.2 10.9.1.2'],
    ['with the network behind the name', ask('web.blue'), '0 10.9.1.2'],
    ['in the zone, from anywhere', ask('web.blue.tulle', 'A', { askersNetworks: [] }), '0 10.9.1.2'],
    ['with dots in name and network', ask('web.1.my.net.tulle'), '0 10.8.1.2'],
    ['on the overlay', ask('web.default.tulle'), '0 10.5.34.2'],
    [
      'on a second network of its container',
      ask('web.1', 'A', { askersNetworks: ['blue', 'my.net'] }),
      '0 10.8.1.2',
    ],
    ['for no such name of the zone', ask('nope.blue.tulle'), '3 @tulle'],
    ['for no such network', ask('web.red.tulle'), '3 @tulle'],
    ['for a name on another network', ask('db_1.my.net.tulle'), '3 @tulle'],
    ['for a network itself', ask('blue.tulle'), '0 @tulle'],
    ['for an empty network', ask('empty.tulle'), '0 @tulle'],
    ['for the zone', ask('tulle'), '0 @tulle'],
    ['for the SOA of the zone', ask('tulle', 'SOA'), '0 soa'],
    ['backwards', ask('2.1.9.10.in-addr.arpa', 'PTR'), '0 web.blue.tulle'],
    ['backwards, IPv6', ask(reverseName(Ip.parse('fd00:9::2')), 'PTR'), '0 web.blue.tulle'],
    ['backwards with no data of another type', ask('2.1.9.10.in-addr.arpa'), '0 @2.1.9.10.in-addr.arpa'],
    ['backwards for nobody', ask('9.1.9.10.in-addr.arpa', 'PTR'), '3 @9.1.9.10.in-addr.arpa'],
    ['never for another class', ask('web', 'A', {}, 3), '5'],
    ['never as a whole', ask('tulle', 'AXFR'), '5'],
  ] as const) {
    test(what, () => assert.equal(question, expected));
  }
});

test("all else is another server's", () => {
  for (const name of ['example.com', 'nope', 'web.my.net', 'web.1', 'web.blue.example', 'xtulle', ''])
    assert.equal(ask(name), 'forward', name);
  assert.equal(ask('web', 'A', { askersNetworks: [] }), 'forward');
  assert.equal(ask('2.1.168.192.in-addr.arpa', 'PTR'), 'forward');
  assert.equal(ask('1.9.10.in-addr.arpa', 'PTR'), 'forward');
});

/** The name that asks about an address backwards. */
function reverseName(ip: Ip): string {
  if (ip.family === 'ipv4') return `${[...ip.bytes].reverse().join('.')}.in-addr.arpa`;
  return `${Buffer.from(ip.bytes).toString('hex').split('').reverse().join('.')}.ip6.arpa`;
}

test('reverse names are those of an address, and of nothing else', () => {
  for (const text of ['10.9.1.2', 'fd00:9::2', '::']) {
    assert.equal(`${addressOfReverse(reverseName(Ip.parse(text)))}`, text);
  }
  for (const name of [
    '9.10.in-addr.arpa',
    '300.1.9.10.in-addr.arpa',
    'x.ip6.arpa',
    '0.0.ip6.arpa',
    'in-addr.arpa',
  ])
    assert.equal(addressOfReverse(name), undefined, name);
});

test('a name with thousands of addresses is answered with some of them, in turns', () => {
  const many = namesInMemory(
    ...Array.from({ length: 5000 }, (_, at) => `blue 10.9.${at >> 8}.${at & 255} all`),
  );
  const answer = ask('all', 'A', { names: many, turn: 4999 }).split(' ');
  assert.equal(answer.length, 257);
  assert.deepEqual(answer.slice(0, 3), ['0', '10.9.19.135', '10.9.0.0']);
});
