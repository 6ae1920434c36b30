import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ARRIVES,
  causes,
  checkCase,
  finding,
  LEAVES,
  seen,
  watchedRung,
} from '../../../../test/support/check-case.ts';
import type { FilterVerdict } from '../../../api/inspection.ts';
import { connectionRungs } from '../ladder.ts';
import type { Case } from './case.ts';
import { judge } from './judge.ts';

const forwardingOff = finding({ code: 'FORWARDING_OFF', host: 'docker2', layer: 'routing' });

const noConnection = (known: Case, findings: readonly ReturnType<typeof finding>[] = []): Case => ({
  ...known,
  peers: known.peers.map((peer, at) =>
    at > 0
      ? peer
      : {
          ...peer,
          rungs: [
            ...peer.rungs,
            ...connectionRungs(peer.rungs).map(rung => ({ ...rung, sent: 2, answered: 0 })),
          ],
          ...(peer.report && { report: { ...peer.report, findings: [...findings] } }),
        },
  ),
});

test('a container that refuses no connection and answers pings is meant so, unless a rule of a host drops it', () => {
  const known = noConnection(checkCase());
  assert.deepEqual(causes(known), []);
  const inContainer = {
    packet: 'request',
    end: 'dropped',
    chain: 'ip filter INPUT',
    rule: '-p tcp -j DROP',
  } as const;
  const watch = (verdict: FilterVerdict) =>
    watchedRung(known, ({ kind }) => kind === 'tcp', {
      here: seen(1, LEAVES),
      there: seen(2, ARRIVES, { verdicts: [verdict] }),
    });
  assert.deepEqual(causes({ ...known, watched: [watch({ ...inContainer, container: 'c1' })] }), []);
  assert.deepEqual(causes({ ...known, watched: [watch(inContainer)] }), ['FIREWALL_DROP docker2']);
});

test('that pings pass and connections do not is explained by filters only', () => {
  assert.deepEqual(causes(noConnection(checkCase(), [forwardingOff])), ['FORWARDING_OFF docker2']);
  const rule = finding({ code: 'FIREWALL_DROP', host: 'docker2', layer: 'firewall', severity: 'warning' });
  const { findings } = judge(noConnection(checkCase(), [rule]));
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [['FIREWALL_DROP', 'error']],
  );
});
