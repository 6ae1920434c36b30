import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { ForwarderTable } from './control/messages.ts';
import { changesBetween } from './table-changes.ts';

const own = [Ip.parse('10.1.0.0')];
const route = (index: number, remote = '192.0.2.1', mtu?: number) => ({
  subnet: Prefix.parse(`10.2.${index}.0/24`),
  remote: Ip.parse(remote),
  port: 8285,
  ...(mtu === undefined ? {} : { mtu }),
});
const table = (...routes: ForwarderTable['routes']): ForwarderTable => ({ own, routes });

test('names the routes that are new, other and gone', () => {
  const before = table(route(1), route(2), route(3), route(4));
  const after = table(route(1), route(2, '192.0.2.9'), route(3, '192.0.2.1', 1300), route(5));
  const changes = changesBetween(before, after);
  assert.deepEqual(
    [changes?.set.map(({ subnet }) => `${subnet}`), changes?.deleted.map(String)],
    [['10.2.2.0/24', '10.2.3.0/24', '10.2.5.0/24'], ['10.2.4.0/24']],
  );
  assert.deepEqual(changesBetween(before, table(...before.routes)), { set: [], deleted: [] });
});

test('wants the whole table when much has changed, or the own address', () => {
  const many = Array.from({ length: 9 }, (_, index) => route(index));
  assert.equal(changesBetween(table(), table(...many)), undefined);
  assert.equal(changesBetween(table(...many), table()), undefined);
  assert.equal(changesBetween(table(), { own: [Ip.parse('10.9.0.0')], routes: [] }), undefined);
});
