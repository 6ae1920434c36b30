/** Which rules of a firewall explain a loss. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  causes,
  checkCase,
  finding,
  insideDocker2,
  LEAVES,
  seen,
  watchedInside,
  withWatched,
} from '../../../../test/support/check-case.ts';

test('what bridged frames meet is no cause of what comes from another host', () => {
  const bridged = finding({ code: 'BRIDGE_NF_CALL', host: 'docker2', layer: 'bridge' });
  const rule = finding({ code: 'FIREWALL_DROP', host: 'docker2', layer: 'firewall' });
  const codes = (findings: readonly (typeof rule)[]) => {
    const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [...findings] } } });
    return causes(withWatched(known, watchedInside(known, ['uplink in request', 'tunnel in request'])));
  };
  assert.deepEqual(codes([bridged]).slice(0, 1), ['PACKET_LOST docker2']);
  assert.deepEqual(codes([bridged, rule]).slice(0, 1), ['FIREWALL_DROP docker2']);
});

test('a rule that drops ARP is why nobody answers it', () => {
  const rule = (reason: string) =>
    finding({ code: 'FIREWALL_DROP', host: 'docker2', layer: 'firewall', reason });
  const silent = [
    { address: '10.1.2.1', askedBy: '10.1.2.2', link: 'veth-c1', point: 'port', count: 1 } as const,
  ];
  const codes = (reason: string) => {
    const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [rule(reason)] } } });
    const there = seen(
      2,
      ['uplink in request', 'tunnel in request', 'bridge out request', 'port out request'],
      {
        silent,
        drops: [{ reason: 'NEIGH_FAILED', link: 'eth0', container: 'c1', packet: 'reply', count: 4 }],
      },
    );
    const watched = watchedInside(known, []);
    return causes(withWatched(known, { ...watched, here: seen(1, LEAVES), there }));
  };
  assert.deepEqual(codes('a rule drops packets that come in as ARP of c1'), ['FIREWALL_DROP docker2']);
  assert.equal(codes('a rule drops TCP packets')[0], 'CONTAINER_SILENT docker2');
});
