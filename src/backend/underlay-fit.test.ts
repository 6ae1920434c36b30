import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, DUAL } from '../../test/support/registry.ts';
import { formatProblem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { byFamily } from '../base/per-family.ts';
import { fitUnderlay, mtuPartsOf } from './underlay-fit.ts';

const NOTHING = { ipv4: 0, ipv6: 0 };
const TUNNEL = { ipv4: 20, ipv6: 40 };
const BOTH = byFamily(Ip.parse('192.0.2.1'), Ip.parse('2001:db8::1'));

const over = (mtu: number, ip = BOTH) => ({
  config: DUAL,
  underlay: { link: { index: 2, name: 'eth0', mtu }, ip, publicIp: ip },
});

test('a backend that adds nothing to a packet has the MTU of the underlay', () => {
  const fine = { problems: [], leftOut: [], reduced: [] };
  assert.deepEqual(fitUnderlay(over(1500), NOTHING), { mtu: { ipv4: 1500, ipv6: 1500 }, ...fine });
  assert.deepEqual(fitUnderlay(over(1280), NOTHING).mtu, { ipv4: 1280, ipv6: 1280 });
  assert.deepEqual(fitUnderlay(over(1500), TUNNEL).mtu, { ipv4: 1480, ipv6: 1460 });
});

test('a family without an address on the link is a problem, and no other is', () => {
  const { problems } = fitUnderlay(over(1500, byFamily(Ip.parse('192.0.2.1'))), NOTHING);
  assert.deepEqual(problems.map(formatProblem), [
    'IPv6Network: needs an IPv6 address on eth0, and there is none (add one, choose another interface with --iface, or turn IPv6 off in the configuration)',
  ]);
  const alone = {
    ...over(1500, byFamily(Ip.parse('192.0.2.1'))),
    config: configOf({ Network: '10.5.0.0/16' }),
  };
  assert.deepEqual(fitUnderlay(alone, NOTHING).problems, []);
});

test('a configured MTU that leaves too little is corrected, and not a reason to leave a family out', () => {
  const { problems, leftOut } = fitUnderlay(over(1500), TUNNEL, 1300);
  assert.deepEqual(problems.map(formatProblem), [
    'Backend.MTU = 1300: leaves 1260 bytes for IPv6 packets, and IPv6 needs 1280',
  ]);
  assert.deepEqual(leftOut, []);
});

test('an underlay that has no room for one family is followed with the other', () => {
  const { mtu, problems, leftOut, reduced } = fitUnderlay(over(1300), TUNNEL, 1400);
  assert.deepEqual([mtu, problems], [{ ipv4: 1280 }, []]);
  assert.match(leftOut.map(formatProblem).join(), /^MTU of eth0 = 1300: leaves 1260 bytes/);
  assert.match(reduced.map(formatProblem).join(), /^Backend\.MTU = 1400: is more than eth0 can carry/);
});

test('the MTU of containers is explained as a sum, of the family with the least', () => {
  const [sixOver, fourOver] = [{ ipv4: 1450, ipv6: 1430 }, { ipv4: 1350 }];
  const { underlay } = over(1500);
  assert.deepEqual(mtuPartsOf(underlay, sixOver, 'VXLAN'), [
    { what: 'eth0', bytes: 1500 },
    { what: 'VXLAN over IPv6', bytes: -70 },
  ]);
  assert.deepEqual(mtuPartsOf(underlay, fourOver, 'VXLAN', 1400), [
    { what: 'Backend.MTU', bytes: 1400 },
    { what: 'VXLAN over IPv4', bytes: -50 },
  ]);
  assert.deepEqual(mtuPartsOf(underlay, { ipv4: 1500 }, 'host-gw', 1600), [{ what: 'eth0', bytes: 1500 }]);
});
