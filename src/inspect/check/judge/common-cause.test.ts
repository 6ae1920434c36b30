import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCase, finding, overlayOfDocker2 } from '../../../../test/support/check-case.ts';
import { mentions } from './explain.ts';
import { judge } from './judge.ts';

test('what would keep this host from all peers does not explain that one is silent while the others answer', () => {
  const everywhere = finding({ code: 'TUNNEL_DOWN', host: 'docker1', layer: 'tunnel' });
  const aboutIt = finding({
    code: 'TUNNEL_FDB',
    host: 'docker1',
    layer: 'tunnel',
    reason: 'no FDB entry for docker2',
  });
  const codes = (one: typeof everywhere) =>
    judge(checkCase({ answers: overlayOfDocker2, reports: { 1: { findings: [one] } } })).findings.map(
      ({ code, host }) => `${code} ${host}`,
    );
  assert.deepEqual(codes(everywhere), ['PACKET_LOST docker2', 'TUNNEL_DOWN docker1']);
  assert.deepEqual(codes(aboutIt), ['TUNNEL_FDB docker1']);
});

test('names are whole words: an address is not part of a longer one', () => {
  const text = 'route 10.0.0.11 dev eth0 via 10.0.0.2/24, c1: fd00::1';
  for (const name of ['10.0.0.11', '10.0.0.2', 'c1', 'fd00::1']) assert.ok(mentions(text, name), name);
  for (const name of ['10.0.0.1', '0.0.0.2', 'c', 'fd00::']) assert.ok(!mentions(text, name), name);
});

test('what is wrong with large packets of this host explains them, although small ones pass to all', () => {
  const tunnel = finding({ code: 'TUNNEL_MTU', host: 'docker1', layer: 'mtu', severity: 'warning' });
  const known = checkCase({
    answers: ({ kind, size }) => (kind !== 'underlay' && size === 'full' ? 0 : undefined),
    reports: { 1: { findings: [tunnel] } },
  });
  const { findings } = judge(known);
  assert.deepEqual(
    [findings[0]?.code, findings[0]?.severity],
    ['TUNNEL_MTU', 'error'],
    JSON.stringify(findings),
  );
});
