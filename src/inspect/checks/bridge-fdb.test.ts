import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Mac } from '../../base/mac.ts';
import { NUD_PERMANENT, NUD_REACHABLE } from '../../netlink/route/constants.ts';
import type { FdbEntry } from '../../netlink/route/objects.ts';
import { judgeFdb } from './bridge-fdb.ts';

const OF_BRIDGE = '02:00:00:00:00:07';
const OF_CONTAINER = '02:00:00:00:00:02';

const withMac = <T extends object>(link: T, mac: string): T => ({ ...link, mac: Mac.parse(mac) });

/** Codes and fixes, for a bridge with index 7 and the port of a container with index 8. */
function judge(entries: readonly Partial<FdbEntry>[], ofContainer = OF_CONTAINER) {
  const plain = bridgeOf('docker0', 7, ['10.3.1.1/24']);
  const home = { ...plain, link: withMac(plain.link, OF_BRIDGE) };
  const outer = linkOf('veth1', 8, { master: 7 });
  const member = memberOf({ name: 'c1', outer, home });
  const fdb = entries.map(entry => ({ index: 7, master: 7, state: NUD_PERMANENT, flags: 0, ...entry }));
  const causes = judgeFdb({
    bridges: [home],
    members: [{ ...member, bridge: home.link, inner: withMac(member.inner, ofContainer) }],
    nameOf: index => (index === 7 ? 'docker0' : `veth${index - 7}`),
    fdb: fdb as FdbEntry[],
  });
  return causes.map(({ code, fix = [] }) => `${code}: ${fix.map(words => words.join(' ')).join('; ')}`);
}

const own = { mac: Mac.parse(OF_BRIDGE) };
const learned = { mac: Mac.parse(OF_CONTAINER), index: 8, state: NUD_REACHABLE };

test('a bridge with its own entry, and a container that was learned at its port, are fine', () => {
  assert.deepEqual(judge([own, learned]), []);
  assert.deepEqual(judge([{ ...own, index: 8 }, learned]), [], 'it has the MAC address of its port');
});

test('a bridge without an entry of its own takes no frame for itself', () => {
  const missing = [`BRIDGE_FDB: bridge fdb replace ${OF_BRIDGE} dev docker0 self local`];
  assert.deepEqual(judge([learned]), missing);
  assert.deepEqual(
    judge([{ ...own, index: 8, state: NUD_REACHABLE }, learned]),
    missing,
    'learned elsewhere',
  );
});

test('a bridge that gets another MAC address meanwhile has an entry', () => {
  assert.deepEqual(judge([{ mac: Mac.parse('02:00:00:00:00:09') }, learned]), []);
});

test('an entry of a container at another port leads away from it', () => {
  const wrong = { ...learned, index: 9, state: NUD_PERMANENT };
  assert.deepEqual(judge([own, wrong]), [`BRIDGE_FDB: bridge fdb del ${OF_CONTAINER} dev veth2 master`]);
});

test('the own entry of a bridge is not taken away where a container has its MAC address', () => {
  assert.deepEqual(judge([own], OF_BRIDGE), []);
});
