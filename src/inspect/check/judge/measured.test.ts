import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Answers,
  ARRIVES,
  causes,
  checkCase,
  insideDocker2,
  LEAVES,
  overlayOfDocker2,
  seen,
  toDocker2,
  watchedInside,
  watchedRung,
  withWatched,
} from '../../../../test/support/check-case.ts';
import { judge } from './judge.ts';

test('a rule that was seen to drop is named when no host has named it', () => {
  const known = checkCase({ answers: insideDocker2 });
  const verdict = {
    packet: 'reply',
    end: 'dropped',
    chain: 'ip filter FORWARD',
    rule: 'ip saddr 10.5.2.2 drop',
  } as const;
  const watched = watchedInside(known, [...ARRIVES, 'port in reply', 'bridge in reply'], {
    verdicts: [verdict],
  });
  const [first] = judge(withWatched(known, watched)).findings;
  assert.deepEqual([first?.code, first?.host, first?.layer], ['FIREWALL_DROP', 'docker2', 'firewall']);
  assert.match(
    first?.reason ?? '',
    /a rule of docker2, in ip filter FORWARD, drops packets of the overlay: ip saddr 10\.5\.2\.2 drop/,
  );
});

test('only large packets are lost, without a word', () => {
  const large: Answers = ({ size, peer }) => (size === 'full' && peer === 'docker2' ? 0 : undefined);
  const { findings } = judge(checkCase({ answers: large }));
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['PATH_MTU_BLACK_HOLE', 'docker2']],
  );
});

test('a container here that reaches none of a host, which another one here reaches, is named once', () => {
  const two = (number: number) => ({
    containers: [2, 3].map(last => ({
      name: `c${last - 1}`,
      addresses: [`10.5.${number}.${last}`],
      hostLink: `veth-c${last - 1}`,
      bridge: 'docker0',
    })),
  });
  const reports = { 1: two(1), 2: two(2), 3: two(3) };
  const large: Answers = ({ size, container, peer }) =>
    size === 'full' && container === 'c1' && peer !== undefined ? 0 : undefined;
  const { findings } = judge(checkCase({ answers: large, reports }));
  assert.deepEqual(
    findings.map(({ code, host }) => `${code} ${host}`),
    ['PATH_MTU_BLACK_HOLE docker1'],
  );
  assert.match(findings[0]?.reason ?? '', /the same with docker3/);
});

test('an answer that is lost between the hosts is one way', () => {
  const known = checkCase({ answers: toDocker2 });
  const watched = watchedRung(known, ({ kind }) => kind === 'underlay', {
    here: seen(1, ['uplink out request']),
    there: seen(2, ['uplink in request', 'uplink out reply']),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['UNDERLAY_ONE_WAY docker2']);
});

test('what left this host, and nobody watched for on the other, is not lost here', () => {
  const known = checkCase({ answers: overlayOfDocker2, unasked: { docker2: 'no agent answers' } });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request', 'uplink out request']),
    unwatched: 'no agent answers',
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['PACKET_LOST docker2']);
});

test('who does not answer ARP is silent, and not who asks', () => {
  const known = checkCase({ answers: toDocker2, unasked: { docker2: 'no connection' } });
  const asked = {
    address: '192.168.65.2',
    askedBy: '192.168.65.1',
    link: 'eth0',
    point: 'uplink',
    count: 3,
  } as const;
  const watched = watchedRung(known, ({ kind }) => kind === 'underlay', {
    here: seen(1, [], { silent: [asked] }),
    unwatched: 'no connection',
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['UNDERLAY_SILENT docker2']);
});

test('an address of the underlay that is asked for on another link is not that of a container', () => {
  const known = checkCase({ answers: overlayOfDocker2 });
  const asked = {
    address: '192.168.65.2',
    askedBy: '192.168.65.1',
    link: 'tun0',
    point: 'port',
    count: 1,
  } as const;
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request'], { silent: [asked] }),
    there: seen(2, []),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['UNDERLAY_ROUTE docker1']);
});

test('packets that the underlay carries as they are, and drops for their addresses', () => {
  const known = checkCase({ answers: ({ kind }) => (kind === 'container' ? 0 : undefined) });
  const direct = {
    ...known,
    peers: known.peers.map(one => ({ ...one, peer: { ...one.peer, links: ['eth0'] } })),
  };
  const watched = watchedRung(direct, ({ kind }) => kind === 'container', {
    here: seen(1, ['port in request', 'bridge in request', 'uplink out request']),
    there: seen(2, [
      'uplink in request',
      'bridge out request',
      'port out request',
      'port in reply',
      'bridge in reply',
      'uplink out reply',
    ]),
  });
  const [first] = judge(withWatched(direct, watched)).findings;
  // The answers were lost last; that no peer's come is of this host.
  assert.deepEqual([first?.code, first?.host], ['UNDERLAY_ADDRESSES_BLOCKED', 'docker1']);
});

test('a peer that asks everyone for a router that there is not sends its answers elsewhere', () => {
  const known = checkCase({ answers: toDocker2, unasked: { docker2: 'no connection' } });
  const asked = {
    address: '192.168.65.254',
    askedBy: '192.168.65.2',
    link: 'eth0',
    point: 'uplink',
    count: 1,
  } as const;
  const watched = watchedRung(known, ({ kind }) => kind === 'underlay', {
    here: seen(1, ['uplink out request'], { silent: [asked] }),
    unwatched: 'no connection',
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['UNDERLAY_ROUTE docker2']);
});

test('what lets some through when it is asked again is where the others end', () => {
  const known = checkCase({ answers: insideDocker2 });
  const half = (lines: readonly string[]) => lines.map(line => `${line} 2`);
  const back = ['port in reply', 'bridge in reply', 'tunnel out reply', 'uplink out reply'];
  const home = ['uplink in reply', 'tunnel in reply', 'bridge out reply', 'port out reply'];
  const isContainer = ({ kind }: { readonly kind: string }) => kind === 'container';
  const watched = watchedRung(known, isContainer, {
    here: seen(1, [...LEAVES, ...half(home)]),
    there: seen(2, [...ARRIVES.slice(0, 2), ...half([...ARRIVES.slice(2), ...back])]),
  });
  assert.deepEqual(causes(withWatched(known, { ...watched, answered: 2 })), ['PACKET_LOST docker2']);
});

test('an address that a rule changes is the cause where nothing else is', () => {
  const known = checkCase({ answers: insideDocker2 });
  const verdict = {
    packet: 'request',
    end: 'translated',
    chain: 'ip service rules',
    rule: 'ip daddr 10.5.2.2 dnat to 10.5.2.254',
  } as const;
  const watched = watchedInside(known, ['uplink in request', 'tunnel in request'], { verdicts: [verdict] });
  assert.deepEqual(causes(withWatched(known, watched)), ['TRANSLATED docker2']);
});

test('who alone sends with another VNI has the wrong one, wherever its packets are dropped', () => {
  const known = checkCase({ answers: overlayOfDocker2 });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request', 'uplink out request', 'uplink in reply'], {
      drops: [{ reason: 'VXLAN_VNI_NOT_FOUND', link: 'eth0', packet: 'reply', count: 4 }],
    }),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['VNI_MISMATCH docker2']);
});

test('what nobody has watched is no finding beside what was seen to end', () => {
  const inside: Answers = ({ kind, peer }) =>
    peer !== undefined && kind !== 'underlay' && kind !== 'tunnel' ? 0 : undefined;
  const known = checkCase({ answers: inside });
  assert.deepEqual(causes(known), ['PACKET_LOST docker1']);
  const verdict = { packet: 'request', end: 'dropped', chain: 'inet t f', rule: 'drop' } as const;
  const watched = watchedRung(known, ({ kind }) => kind === 'container', {
    here: seen(1, ['port in request'], { verdicts: [verdict] }),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['FIREWALL_DROP docker1']);
});

test('what this host reaches and its container does not is lost here, also when nobody has watched', () => {
  const known = checkCase({
    answers: ({ kind, peer }) => (kind === 'container' && peer === 'docker2' ? 0 : undefined),
  });
  assert.deepEqual(causes(known), ['PACKET_LOST docker1']);
});
