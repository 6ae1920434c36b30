import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ARRIVES,
  causes,
  checkCase,
  finding,
  LEAVES,
  overlayOfDocker2,
  seen,
  watchedRung,
  withWatched,
} from '../../../../test/support/check-case.ts';

/** docker2 refuses what docker1 sends. */
const refused = (rule: string, ...routes: Parameters<typeof finding>[0][]) => {
  const known = checkCase({
    answers: overlayOfDocker2,
    reports: { 1: { findings: routes.map(finding) } },
  });
  const verdict = {
    packet: 'request',
    end: 'dropped',
    chain: 'inet tulle-senders-10.5.0.0-16 refuse-ip',
    rule,
  } as const;
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, LEAVES),
    there: seen(2, ARRIVES.slice(0, 1), { verdicts: [verdict] }),
  });
  return causes(withWatched(known, watched));
};

test('what our own filter of senders refuses was sent wrongly: no rule of a person is blamed', () => {
  assert.deepEqual(refused('counter name "refused-senders" drop'), ['SENDER_REFUSED docker2']);
  assert.deepEqual(refused('counter name "refused-sources" drop'), ['SENDER_REFUSED docker2']);
});

test('a translation on the host that sends is why it is refused, and a rule that drops is not', () => {
  const rule = 'counter name "refused-senders" drop';
  assert.deepEqual(refused(rule, { code: 'TRANSLATED', host: 'docker1', layer: 'nat', severity: 'error' }), [
    'TRANSLATED docker1',
  ]);
  assert.deepEqual(
    refused(rule, { code: 'FIREWALL_DROP', host: 'docker1', layer: 'firewall', severity: 'warning' })[0],
    'SENDER_REFUSED docker2',
  );
});
