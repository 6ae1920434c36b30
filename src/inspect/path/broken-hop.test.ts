import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Observation } from '../../api/inspection.ts';
import { Ip } from '../../base/ip.ts';
import { judgeJourney } from './broken-hop.ts';
import type { JourneyHop, JourneyLeg, WalkedJourney } from './journey.ts';
import type { Measured, SentPacket } from './measure.ts';

const [A, B] = [Ip.parse('10.5.1.2'), Ip.parse('10.5.2.2')];

/** `docker1 eth0 out`: a hop with a point where it is seen; `docker1 flannel.88`: one without. */
function hop(text: string, layer: JourneyHop['layer'], fault?: string): JourneyHop {
  const [host = '', place = '', direction] = text.split(' ');
  return {
    host,
    place,
    layer,
    story: '',
    entries: [],
    ...((direction === 'in' || direction === 'out') && { passes: { link: place, direction } }),
    ...(fault !== undefined && { fault: { reason: fault, remedy: 'repair it' } }),
  };
}

interface Faults {
  readonly [place: string]: string;
}

const hopsOf = (near: string, far: string, faults: Faults): JourneyHop[] =>
  (
    [
      [`${near} port in`, 'container'],
      [`${near} tunnel`, 'tunnel'],
      [`${near} eth0 out`, 'underlay'],
      [`${far} eth0 in`, 'underlay'],
      [`${far} bridge out`, 'routing'],
      [`${far} c1`, 'container'],
    ] as const
  ).map(([text, layer]) => hop(text, layer, faults[text]));

const leg = (packet: JourneyLeg['packet'], hops: readonly JourneyHop[]): JourneyLeg =>
  packet === 'request'
    ? { packet, from: A, to: B, hops, arrives: true }
    : { packet, from: B, to: A, hops, arrives: true };

const journey = (there: Faults = {}, back: Faults = {}): WalkedJourney => ({
  legs: [
    leg('request', hopsOf('docker1', 'docker2', there)),
    leg('reply', hopsOf('docker2', 'docker1', back)),
  ],
  unasked: [],
  blind: [],
});

/** Where packets were seen: `docker1 request eth0 out`. */
function measured(
  outcome: SentPacket['outcome'],
  seen: readonly string[],
  more: Partial<Observation> = {},
): Measured {
  const observations = ['docker1', 'docker2'].map(
    (host): Observation => ({
      host,
      sightings: seen
        .map(text => text.split(' '))
        .filter(([of]) => of === host)
        .map(([, packet, link = '', direction]) => ({
          link,
          point: 'other',
          direction: direction as 'in' | 'out',
          packet: packet as 'request' | 'reply',
          encapsulated: false,
          count: 1,
        })),
      drops: [],
      verdicts: [],
      silent: [],
      counters: [],
      blind: [],
      ...(more.host === host ? more : {}),
    }),
  );
  return { sent: { protocol: 'icmp', outcome }, observations, unwatched: [] };
}

const THERE = [
  'docker1 request port in',
  'docker1 request eth0 out',
  'docker2 request eth0 in',
  'docker2 request bridge out',
];
const broken = (walked: WalkedJourney, seen?: Measured) => judgeJourney(walked, seen).broken;

describe('without a packet', () => {
  test('the first entry that ends the way is the broken hop', () => {
    const found = broken(journey({ 'docker1 tunnel': 'no FDB entry', 'docker2 eth0 in': 'no address' }));
    assert.deepEqual([found?.number, found?.host, found?.reason], [2, 'docker1', 'no FDB entry']);
  });

  test('entries that lead from end to end break nothing', () => {
    assert.equal(broken(journey()), undefined);
  });
});

describe('with a packet', () => {
  test('that was answered nothing is broken, whatever the entries say', () => {
    assert.equal(broken(journey({ 'docker1 tunnel': 'no FDB entry' }), measured('answered', [])), undefined);
    assert.equal(broken(journey(), measured('closed', [])), undefined);
  });

  test('the first hop that it does not make is broken, by its entry where that ends it', () => {
    const found = broken(
      journey({ 'docker2 bridge out': 'no route' }),
      measured('silent', THERE.slice(0, 3)),
    );
    assert.deepEqual([found?.number, found?.reason, found?.isPlaceOnly], [5, 'no route', undefined]);
  });

  test('one that is not seen at the link that it is sent over ends there, by the entry that says why', () => {
    const walked = journey();
    const [request] = walked.legs;
    const hops = request?.hops.flatMap(one =>
      one.place === 'bridge' ? [one, hop('docker2 bridge', 'bridge', 'no port')] : [one],
    );
    const legs = [leg('request', hops ?? []), ...walked.legs.slice(1)];
    const found = broken({ ...walked, legs }, measured('silent', THERE.slice(0, 3)));
    assert.deepEqual([found?.number, found?.reason], [6, 'no port']);
  });

  test('an entry that should have ended it and did not is no cause', () => {
    const found = broken(
      journey({ 'docker1 tunnel': 'no FDB entry' }),
      measured('silent', THERE.slice(0, 3)),
    );
    assert.equal(found?.number, 5);
    assert.match(
      found?.reason ?? '',
      /between eth0 of docker1|between eth0 of docker2 and bridge of docker2/,
    );
  });

  test('one that is lost between hosts says between which links', () => {
    const found = broken(
      journey({ 'docker2 bridge out': 'no route' }),
      measured('silent', THERE.slice(0, 2)),
    );
    assert.deepEqual([found?.number, found?.isPlaceOnly], [4, true]);
    assert.match(found?.reason ?? '', /lost between eth0 of docker1 and eth0 of docker2/);
  });

  test('a rule that drops it is the cause, before a reason of the kernel', () => {
    const rule = { chain: 'ip filter FORWARD', rule: '-j DROP', hook: 'forward' };
    const seen = measured('silent', THERE.slice(0, 3), {
      host: 'docker2',
      verdicts: [{ packet: 'request', end: 'dropped', ...rule }],
      drops: [{ packet: 'request', reason: 'NETFILTER_DROP', count: 1 }],
    });
    const { hops, broken: found } = judgeJourney(journey(), seen);
    assert.match(found?.reason ?? '', /A rule of docker2 drops it, in ip filter FORWARD: -j DROP/);
    assert.deepEqual(hops[4]?.rules, [{ verdict: 'dropped', ...rule }]);
  });

  test("a reason of the kernel is the cause; that of the other direction's packet is none", () => {
    const drop = (packet: 'request' | 'reply') =>
      measured('silent', THERE.slice(0, 3), {
        host: 'docker2',
        drops: [{ packet, reason: 'IP_RPFILTER', link: 'flannel.88', count: 1 }],
      });
    const found = broken(journey(), drop('request'));
    assert.match(found?.reason ?? '', /The kernel of docker2 drops it on flannel.88: IP_RPFILTER/);
    assert.match(found?.remedy ?? '', /net.ipv4.conf.flannel.88.rp_filter=2/);
    assert.equal(broken(journey(), drop('reply'))?.isPlaceOnly, true);
  });

  test('one that comes to the container and is not answered is lost there', () => {
    const found = broken(journey(), measured('silent', THERE));
    assert.deepEqual([found?.number, found?.place, found?.host], [6, 'c1', 'docker2']);
    assert.match(found?.reason ?? '', /no answer leaves it/);
  });

  test('an answer that is lost is marked on its way', () => {
    const found = broken(
      journey(),
      measured('silent', [...THERE, 'docker2 reply port in', 'docker2 reply eth0 out']),
    );
    assert.deepEqual([found?.number, found?.host, found?.place], [10, 'docker1', 'eth0']);
  });

  test('a datagram that was handed over has arrived', () => {
    const walked = journey();
    const seen = measured('silent', THERE);
    const udp = { ...seen, sent: { ...seen.sent, protocol: 'udp' as const } };
    assert.equal(broken(walked, udp), undefined);
    assert.equal(
      broken(walked, { ...udp, observations: measured('silent', THERE.slice(0, 3)).observations })?.number,
      5,
    );
  });

  test('behind a translation of who asks, what is not seen may still be there', () => {
    const walked = journey();
    const legs = walked.legs.map(one => ({
      ...one,
      hops: one.hops.map(each => (each.host === 'docker2' ? { ...each, isMasked: true as const } : each)),
    }));
    const seen = measured('silent', THERE.slice(0, 2));
    const udp = { ...seen, sent: { ...seen.sent, protocol: 'udp' as const } };
    const { hops, ...judged } = judgeJourney({ ...walked, legs }, udp);
    assert.deepEqual(judged, { isHidden: true });
    assert.deepEqual(
      hops.filter(({ host, seen }) => host === 'docker2' && seen !== undefined),
      [],
    );
    const dropped = measured('silent', THERE.slice(0, 2), {
      host: 'docker2',
      verdicts: [{ packet: 'request', end: 'dropped', chain: 'ip filter FORWARD', rule: '-j DROP' }],
    });
    const stopped = judgeJourney({ ...walked, legs }, { ...dropped, sent: udp.sent });
    assert.match(stopped.broken?.reason ?? '', /A rule of docker2 drops it/);
  });

  test('where the other host is not asked, the loss is said to be beyond', () => {
    const half: WalkedJourney = {
      legs: [
        leg('request', hopsOf('docker1', 'docker2', {}).slice(0, 3)),
        leg('reply', hopsOf('docker2', 'docker1', {}).slice(3)),
      ],
      unasked: [{ host: 'docker2', reason: 'docker2 runs flannel' }],
      blind: [],
    };
    const found = broken(half, measured('silent', THERE.slice(0, 2)));
    assert.equal(found?.number, 4);
    assert.match(found?.reason ?? '', /left by eth0 of docker1, and no answer came in/);
  });
});
