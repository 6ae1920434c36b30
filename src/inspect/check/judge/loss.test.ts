import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Answers,
  causes,
  checkCase,
  finding,
  insideDocker2,
  LEAVES,
  overlayOfDocker2,
  seen,
  watchedRung,
} from '../../../../test/support/check-case.ts';
import type { Case } from './case.ts';
import { withoutChance } from './chance.ts';
import { judge } from './judge.ts';
import { rootsOf } from './roots.ts';

test('steady loss is measured, one lost packet is none', () => {
  const lossy =
    (count: number): Answers =>
    ({ peer }) =>
      peer === 'docker2' ? count : undefined;
  const { findings } = judge(checkCase({ answers: lossy(7) }));
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['UNDERLAY_LOSS', 'docker2']],
  );
  assert.match(findings[0]?.reason ?? '', /^30 % of the packets to docker2/);
  assert.deepEqual(causes(checkCase({ answers: lossy(9) })), []);
});

/** The containers of docker1 lose some on the way to their bridge, and what docker2 has inside is not reached. */
const busyHere: Answers = rung => (rung.kind === 'gateway' ? 8 : insideDocker2(rung));
const forwardingOff = finding({ code: 'FORWARDING_OFF', host: 'docker2', layer: 'routing' });

test('what loses a little here is not why everything is lost there, and comes after its cause', () => {
  // Of docker3 only the outside is compared.
  const unasked = { docker3: 'it is only compared' };
  const known = checkCase({ answers: busyHere, unasked, reports: { 2: { findings: [forwardingOff] } } });
  assert.deepEqual(causes(known), ['FORWARDING_OFF docker2', 'PACKET_LOST docker1']);
});

test('what loses as much here as there is the cause of both', () => {
  const lossy: Answers = ({ kind, container }) => (kind === 'gateway' || container ? 6 : undefined);
  assert.deepEqual(causes(checkCase({ answers: lossy })), ['PACKET_LOST docker1']);
});

test('a tunnel that loses a little does not take the blame for what nothing passes of', () => {
  const answers: Answers = rung =>
    rung.kind === 'tunnel' && rung.peer === 'docker2' ? 8 : insideDocker2(rung);
  const [root] = rootsOf(checkCase({ answers }));
  assert.deepEqual([root?.rung.kind, root?.state], ['container', 'broken']);
});

test('flows that are lost on the wire beside others that pass are no blocked port', () => {
  const lost = (peers: readonly string[]) => {
    // One flow of several.
    const answers: Answers = ({ peer, kind }) =>
      peer !== undefined && peers.includes(peer) && kind === 'container' ? 0 : undefined;
    const known = checkCase({ answers });
    const views = { here: seen(1, LEAVES), there: seen(2, []) };
    const watched = watchedRung(known, ({ kind }) => kind === 'container', views);
    return judge({ ...known, watched: [watched] }).findings.map(({ code, host, reason }) => ({
      what: `${code} ${host}`,
      reason,
    }));
  };
  const [one] = lost(['docker2']);
  assert.equal(one?.what, 'UNDERLAY_LOSS docker2');
  assert.match(one.reason, /^some flows in the tunnel between docker1 and docker2 are lost/);
  const [all] = lost(['docker2', 'docker3']);
  assert.equal(all?.what, 'UNDERLAY_LOSS docker1');
});

test('of large packets some of which are lost no size is said', () => {
  const lossy: Answers = ({ peer, size }) => (peer === 'docker2' && size === 'full' ? 6 : undefined);
  assert.deepEqual(causes(checkCase({ answers: lossy })), ['UNDERLAY_LOSS docker2']);
});

describe('a loss of some packets', () => {
  const known = checkCase({ answers: ({ peer }) => (peer === 'docker2' ? 8 : undefined) });
  const again = (sent: number, answered: number): Case => {
    const watched = watchedRung(known, ({ kind }) => kind === 'underlay', { here: seen(1, []) }, 60);
    return { ...known, watched: [{ ...watched, answered: 60, repeated: { sent, answered } }] };
  };
  const left = (sent: number, answered: number) =>
    causes(withoutChance(again(sent, answered), rootsOf(known)));

  test('that is not measured again was chance, of large packets as of small ones', () => {
    assert.deepEqual(left(300, 300), []);
    assert.deepEqual(left(300, 299), []);
  });

  test('that nobody has measured again is no finding, and said', () => {
    const once = withoutChance(known, rootsOf(known));
    assert.deepEqual(causes(once), []);
    assert.match(
      once.report.blind.join(),
      /20 % of the packets to .* were lost, and this was not measured again/,
    );
  });

  test('that is measured twice is a loss', () => {
    assert.deepEqual(left(300, 290), ['UNDERLAY_LOSS docker2']);
  });
});

test('a tunnel that all others send to by a wrong MAC address is wrong itself', () => {
  const known = checkCase({
    answers: ({ kind }) => (kind === 'underlay' || kind === 'gateway' ? undefined : 0),
  });
  const watched = known.peers.map(({ peer, rungs }) => {
    const rung = rungs.find(({ kind }) => kind === 'tunnel');
    assert.ok(rung !== undefined);
    const here = seen(1, ['tunnel out request', 'uplink out request', 'uplink in reply', 'tunnel in reply'], {
      drops: [{ reason: 'OTHERHOST', link: 'flannel.1', packet: 'reply', count: 4 }],
    });
    return { rung, sent: 4, answered: 0, here, unwatched: `${peer.name} is not asked` };
  });
  assert.deepEqual(causes({ ...known, watched }), ['TUNNEL_MAC docker1']);
  const oneOnly = checkCase({ answers: overlayOfDocker2 });
  assert.deepEqual(
    causes({ ...oneOnly, watched: watched.slice(0, 1).map(one => ({ ...one, rung: tunnelOf(oneOnly) })) }),
    ['TUNNEL_NEIGHBOR docker2'],
  );
});

const tunnelOf = ({ peers }: Case) => {
  const rung = peers[0]?.rungs.find(({ kind }) => kind === 'tunnel');
  assert.ok(rung !== undefined);
  return rung;
};
