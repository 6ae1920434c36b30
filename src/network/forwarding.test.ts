import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Family } from '../base/ip.ts';
import { type ForwardingCircumstances, forwardingWarnings } from './forwarding.ts';

const warn = (sysctls: Record<string, string>, circumstances: Partial<ForwardingCircumstances> = {}) =>
  forwardingWarnings(path => sysctls[path], {
    families: ['ipv4'],
    links: ['eth0', 'flannel.88'],
    masquerade: false,
    ...circumstances,
  });

const ids = (...given: Parameters<typeof warn>) => warn(...given).map(({ id, code }) => `${code} ${id}`);

test('a host that forwards, or does not say, is fine', () => {
  assert.deepEqual(warn({}), []);
  assert.deepEqual(warn({ 'net/ipv4/ip_forward': '1', 'net/ipv4/conf/all/rp_filter': '0' }), []);
});

test('a family that is in use and not forwarded is an error, with the command that helps', () => {
  const off = { 'net/ipv4/ip_forward': '0', 'net/ipv6/conf/all/forwarding': '0' };
  for (const [families, expected] of [
    [['ipv4'], ['FORWARDING_OFF ipv4']],
    [['ipv6'], ['FORWARDING_OFF ipv6']],
    [
      ['ipv4', 'ipv6'],
      ['FORWARDING_OFF ipv4', 'FORWARDING_OFF ipv6'],
    ],
  ] satisfies [Family[], string[]][]) {
    assert.deepEqual(ids(off, { families }), expected);
  }
  const [warning] = warn(off, { families: ['ipv6'] });
  assert.equal(warning?.severity, 'error');
  assert.match(warning.hint ?? '', /^sysctl -w net\.ipv6\.conf\.all\.forwarding=1;/);
});

test('an address from a router, and a kernel that does not listen to it any more', () => {
  const deaf = { 'net/ipv6/conf/eth0/accept_ra': '1', 'net/ipv6/conf/eth0/forwarding': '1' };
  const expiring = { families: ['ipv6'], expiring: 'eth0' } satisfies Partial<ForwardingCircumstances>;
  assert.deepEqual(ids(deaf, expiring), ['ROUTERS_IGNORED accept_ra']);
  assert.deepEqual(ids(deaf, { families: ['ipv6'] }), [], 'an address without an end needs no router');
  for (const [file, value] of [
    ['accept_ra', '2'],
    ['accept_ra', '0'],
    ['forwarding', '0'],
  ] as const) {
    assert.deepEqual(
      ids({ ...deaf, [`net/ipv6/conf/eth0/${file}`]: value }, expiring),
      [],
      `${file} ${value}`,
    );
  }
});

test('strict filtering by the reverse path is named with its links, where nothing masquerades', () => {
  const strict = { 'net/ipv4/conf/eth0/rp_filter': '1' };
  assert.deepEqual(ids(strict), ['STRICT_RP_FILTER rp_filter']);
  assert.match(warn(strict)[0]?.text ?? '', / is strict on eth0, /);
  assert.match(warn({ 'net/ipv4/conf/all/rp_filter': '1' })[0]?.text ?? '', / on eth0 and flannel\.88, /);
  assert.deepEqual(
    ids({ ...strict, 'net/ipv4/conf/all/rp_filter': '2' }),
    [],
    'the larger value is in force',
  );
  assert.deepEqual(ids(strict, { masquerade: true }), []);
  assert.deepEqual(ids(strict, { families: ['ipv6'] }), [], 'IPv6 has no such filter');
  assert.deepEqual(ids({ ...strict, 'net/ipv4/ip_forward': '0' }), [
    'FORWARDING_OFF ipv4',
    'STRICT_RP_FILTER rp_filter',
  ]);
});

test('a strict filter is named where peers may send directly and through the tunnel', () => {
  const mixed = { mixed: 'eth0', masquerade: true };
  assert.deepEqual(ids({ 'net/ipv4/conf/all/rp_filter': '1' }, mixed), [
    'STRICT_RP_FILTER rp_filter underlay',
  ]);
  assert.deepEqual(ids({ 'net/ipv4/conf/flannel.88/rp_filter': '1' }, mixed), []);
  assert.deepEqual(ids({ 'net/ipv4/conf/eth0/rp_filter': '2' }, mixed), []);
});
