import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Route, Rule } from '../../netlink/route/objects.ts';
import { decide } from './fib.ts';

const route = (destination: string | undefined, more: Partial<Route> = {}): Route => ({
  ...(destination !== undefined && { destination: Prefix.parse(destination) }),
  family: 'ipv4',
  table: 254,
  protocol: 3,
  scope: 0,
  type: 1,
  flags: 0,
  unknown: [],
  ...more,
});
const rule = (priority: number, more: Partial<Rule> = {}): Rule => ({
  family: 'ipv4',
  priority,
  table: 254,
  action: 1,
  unknown: [],
  ...more,
});
const main = rule(32766);
const packet = { destination: Ip.parse('10.3.2.2'), source: Ip.parse('10.3.1.2'), input: 'docker0' };

test('the longest prefix wins, then the lowest metric; what is dead does not count', () => {
  const [wide, long, far, dead] = [
    route('10.3.0.0/16'),
    route('10.3.2.0/24', { priority: 5 }),
    route('10.3.2.0/24', { priority: 9 }),
    route('10.3.2.0/25', { flags: 1 }),
  ];
  assert.equal(decide(packet, [main], [wide, far, long, dead])?.route, long);
  assert.equal(decide(packet, [main], [route('10.4.0.0/16')]), undefined);
});

test('rules are asked in their order, as far as they are about the packet', () => {
  const other = route(undefined, { table: 77 });
  const routes = [route('10.3.2.0/24'), other];
  const decides = (more: Partial<Rule>) =>
    decide(packet, [main, rule(10, { table: 77, ...more })], routes)?.route === other;
  assert.ok(decides({ source: Prefix.parse('10.3.1.0/24') }));
  assert.ok(!decides({ source: Prefix.parse('10.3.9.0/24') }));
  assert.ok(decides({ iifName: 'docker0' }) && !decides({ iifName: 'lo' }));
  assert.ok(!decides({ fwmark: 7 }) && decides({ fwmark: 7, inverted: true }));
  assert.ok(!decides({ ipProtocol: 17 }) && !decides({ suppressPrefixLength: 0 }));
  assert.ok(!decides({ unknown: [{ type: 20, payload: new Uint8Array(8) }] }), 'a rule of one user');
});

test('a rule may pass others over', () => {
  const [skip, skipped, end] = [
    rule(10, { action: 2, goto: 300 }),
    rule(200, { action: 8 }),
    rule(300, { action: 7 }),
  ];
  assert.equal(decide(packet, [main, skip, skipped, end], [route('10.3.2.0/24')])?.rule, end);
  assert.equal(decide(packet, [main, { ...skip, tos: 16 }, skipped], [])?.rule, skipped, 'of other packets');
});

test('a rule may end a packet itself, and throw goes on', () => {
  const prohibit = rule(10, { action: 8, destination: Prefix.parse('10.3.2.0/24') });
  assert.deepEqual(decide(packet, [main, prohibit], []), { rule: prohibit });
  const routes = [route('10.3.2.0/24', { table: 77, type: 9 }), route('10.3.0.0/16')];
  assert.equal(decide(packet, [rule(10, { table: 77 }), main], routes)?.rule, main);
});
