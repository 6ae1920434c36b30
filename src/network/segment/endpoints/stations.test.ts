import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mac } from '../../../base/mac.ts';
import type { FdbEntry } from '../../../netlink/route/objects.ts';
import { Stations } from './stations.ts';

const LINKS = { bridge: 10, tunnel: 11 };
const LEARNED = 0x02;
const PERMANENT = 0x80;
const A = Mac.parse('02:00:00:00:00:0a');

const entry = (fields: Partial<FdbEntry>): FdbEntry => ({
  index: 12,
  master: 10,
  mac: A,
  state: LEARNED,
  flags: 0,
  unknown: [],
  ...fields,
});

test('a MAC address behind a port is a station; not the port itself, nor what is behind the tunnel or another bridge', () => {
  const stations = new Stations(LINKS);
  for (const other of [{ state: PERMANENT }, { index: 11 }, { master: 20 }, { index: 10 }]) {
    assert.equal(stations.apply(entry(other), false), undefined);
  }
  assert.deepEqual(stations.apply(entry({}), false), { station: { mac: A, port: 12 }, gone: false });
  assert.equal(stations.apply(entry({}), false), undefined, 'it says nothing new');
  assert.equal(stations.get(A)?.port, 12);
});

test('a station moves to another port, and what is then said of the old one is late', () => {
  const stations = new Stations(LINKS);
  stations.apply(entry({}), false);
  assert.equal(stations.apply(entry({ index: 13 }), false)?.station.port, 13);
  assert.equal(stations.apply(entry({}), true), undefined);
  assert.equal(stations.apply(entry({ index: 13 }), true)?.gone, true);
  assert.equal(stations.get(A), undefined);
});

test('what is read anew replaces what was known', () => {
  const stations = new Stations(LINKS);
  const B = Mac.parse('02:00:00:00:00:0b');
  stations.apply(entry({}), false);
  const changes = stations.replace([entry({ mac: B })]);
  assert.deepEqual(
    changes.map(({ station, gone }) => `${station.mac} ${gone}`),
    [`${A} true`, `${B} false`],
  );
  assert.deepEqual(stations.replace([entry({ mac: B })]), []);
});
