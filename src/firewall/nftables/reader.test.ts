/** What nft 1.0.6 prints, read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { readRuleset, withoutDormant } from './reader.ts';

const table = (name: string, flags?: string) => ({
  table: { family: 'inet', name, ...(flags !== undefined && { flags }) },
});
const chain = (of: string) => ({
  chain: { family: 'inet', table: of, name: 'c', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' },
});

test('a table that is switched off is read as one whose chains the kernel does not call', async () => {
  // In the place of the flags stands the name of the table.
  const listing = {
    nftables: [
      table('off', 'off'),
      chain('off'),
      table('owned', 'owned'),
      chain('owned'),
      table('on'),
      chain('on'),
    ],
  };
  const texts: Readonly<Record<string, string>> = {
    off: 'table inet off {\n\tflags dormant\n\n\tchain c {\n\t}\n}\n',
    owned:
      'table inet owned { # progname nft\n\tflags owner\n\n\tchain c {\n\t\tcomment "flags dormant"\n\t}\n}\n',
  };
  const asked: string[] = [];
  const { bases } = await withoutDormant(readRuleset(JSON.stringify(listing)), ({ table }) => {
    asked.push(table);
    return Promise.resolve(texts[table]);
  });
  assert.deepEqual(asked, ['off', 'owned'], 'only tables with flags are listed again');
  assert.deepEqual(
    bases.map(({ table }) => table),
    ['owned', 'on'],
  );
});

/** The conditions of a rule with these expressions, in front of a drop. */
function conditionsOf(expr: readonly object[], ...more: readonly object[]) {
  const rule = { family: 'inet', table: 'on', chain: 'c', handle: 2, expr: [...expr, { drop: null }] };
  const listing = { nftables: [table('on'), chain('on'), ...more, { rule }] };
  const [read] = readRuleset(JSON.stringify(listing)).chainsOf('inet', 'on').get('c') ?? [];
  return read?.conditions.map(({ on }) => on);
}

const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });

test('bits of a header are not understood, but what kind of packet has them is', () => {
  const left = { '&': [payload('tcp', 'flags'), ['fin', 'syn']] };
  assert.deepEqual(conditionsOf([{ match: { op: '==', left, right: ['fin', 'syn'] } }]), [
    { field: 'protocol', names: ['tcp'] },
    { field: 'unknown' },
  ]);
  const above = { match: { op: '>', left: payload('udp', 'sport'), right: 1024 } };
  assert.deepEqual(conditionsOf([above]), [{ field: 'protocol', names: ['udp'] }, { field: 'traffic' }]);
});

test('fields side by side are conditions of their own', () => {
  const left = { concat: [payload('ip', 'daddr'), payload('tcp', 'dport')] };
  const match = { match: { op: '==', left, right: '@bad' } };
  const of = (...elem: object[]) =>
    conditionsOf([match], { set: { family: 'inet', table: 'on', name: 'bad', elem } });
  const any = Prefix.parse('0.0.0.0/0');
  const one = Prefix.parse('10.5.2.2/32');
  const first = [
    { field: 'source', prefixes: [any] },
    { field: 'destination', prefixes: [one] },
    { field: 'protocol', names: ['tcp'] },
  ];
  assert.deepEqual(of({ concat: ['10.5.2.2', 80] }), [
    ...first,
    { field: 'destinationPort', ranges: [[80, 80]] },
  ]);
  const two = of(
    { concat: ['10.5.2.2', 80] },
    { elem: { val: { concat: ['10.5.2.2', { range: [1, 9] }] } } },
  );
  assert.deepEqual(two?.at(-1), { field: 'unknown' }, 'not any of the addresses with any of the ports');
  assert.deepEqual(
    two?.find(on => on.field === 'destinationPort'),
    {
      field: 'destinationPort',
      ranges: [
        [80, 80],
        [1, 9],
      ],
    },
  );
  assert.deepEqual(of(), [first[0], first[2], { field: 'unknown' }], 'what is not read may hold, for TCP');
});

test('a set with a limit for each element takes some of the packets', () => {
  const meter = (...stmt: object[]) =>
    conditionsOf([{ set: { op: 'add', elem: payload('ip', 'saddr'), set: '@m', stmt } }]);
  assert.deepEqual(meter({ limit: { rate: 3, per: 'second', inv: true } }), [{ field: 'traffic' }]);
  assert.deepEqual(meter({ counter: null }), []);
});

test('what arptables writes into every rule holds for all ARP of IPv4', () => {
  const match = (field: string, right: number | string) => ({
    match: { op: '==', left: payload('arp', field), right },
  });
  const frame = { field: 'frame', names: ['arp'] };
  assert.deepEqual(
    conditionsOf([match('htype', 1), match('hlen', 6), match('plen', 4)]),
    Array(6).fill(frame),
  );
  assert.deepEqual(conditionsOf([match('htype', 6)]), [frame, { field: 'unknown' }]);
});
