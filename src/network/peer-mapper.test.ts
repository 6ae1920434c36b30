/** What of each lease reaches the data plane, and what is said of the peer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backend } from '../backend/backend.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { PeerReport } from '../dataplane/report.ts';
import { lease } from '../testing/network/overlay-harness.ts';
import { PeerMapper } from './peer-mapper.ts';

/** A backend that finds these problems in the leases of a revision, and makes no path where the first one is `useless`. */
function backend(problems: Readonly<Record<string, readonly string[]>>): Backend {
  const peer: Backend['peer'] = ({ modRevision }) => {
    const found = problems[String(modRevision)] ?? [];
    const path = { link: 'flannel.88', subnet: Prefix.parse('10.3.0.0/24'), entries: [] };
    const underlayIp = Ip.parse('192.0.2.0').plus(Number(modRevision));
    return { paths: found[0] === 'useless' ? [] : [{ ...path, underlayIp }], problems: found };
  };
  return { peer } as Partial<Backend> as Backend;
}

function map(problems: Readonly<Record<string, readonly string[]>> = {}) {
  const desired: string[] = [];
  const said: string[] = [];
  const reports = new Map<string, PeerReport>();
  const textOf = (peer: { key: string; paths: readonly { underlayIp: Ip }[] }) =>
    `${peer.key} ${peer.paths.map(({ underlayIp }) => underlayIp).join()}`;
  const mapper = new PeerMapper(
    {
      setPeer: peer => void desired.push(textOf(peer)),
      setPeers: peers => void desired.push(Array.from(peers, textOf).join('; ')),
      removePeer: key => void desired.push(`-${key}`),
      peerReport: key => reports.get(key),
    },
    (key, found, isReached) => said.push(`${key} ${found.join('+')}${isReached ? '' : ' unreached'}`),
  );
  const use = () => mapper.use(backend(problems));
  return { mapper, use, reports, takeDesired: () => desired.splice(0), takeSaid: () => said.splice(0) };
}

const KEY = '10.3.7.0-24';

test('a peer that the data plane does not know yet is pending, or unreachable when nothing can be made of it', () => {
  const { mapper, use } = map({ 2: ['useless'] });
  use();
  mapper.change([lease(KEY, 1n), lease('10.3.8.0-24', 2n)], []);
  assert.deepEqual(
    mapper.status([]).map(({ key, state, reason }) => [key, state, reason]),
    [
      [KEY, 'pending', undefined],
      ['10.3.8.0-24', 'unreachable', 'useless'],
    ],
  );
});

test('what the data plane says of a peer comes before what is odd about its lease', () => {
  const { mapper, use, reports } = map({ 1: ['has no IPv6 address'] });
  use();
  mapper.change([lease(KEY)], []);
  reports.set(KEY, {
    key: KEY,
    state: 'failed',
    reason: 'no route to host',
    links: ['flannel.88'],
    desired: ['a route'],
    actual: [],
  });
  const [peer] = mapper.status([]);
  assert.deepEqual(
    [peer?.state, peer?.reason, peer?.desired, peer?.actual],
    ['failed', 'no route to host; has no IPv6 address', ['a route'], []],
  );
});

test('a peer behind a link that carries nothing is not ok, whatever the kernel has', () => {
  const { mapper, use, reports } = map();
  use();
  mapper.change([lease(KEY)], []);
  const obstacle = (link: string) => (link === 'flannel0' ? 'no forwarder runs' : undefined);
  for (const [link, expected] of [
    ['flannel0', ['pending', 'no forwarder runs']],
    ['flannel.88', ['ok', undefined]],
  ] as const) {
    reports.set(KEY, { key: KEY, state: 'ok', links: [link], desired: [], actual: [] });
    const [peer] = mapper.status([], obstacle);
    assert.deepEqual([peer?.state, peer?.reason], expected);
  }
});

test('a lease that cannot be used leaves its peer as it was, and is said once', () => {
  const { mapper, use, takeDesired, takeSaid } = map({ 2: ['useless'], 3: ['useless'], 5: ['odd'] });
  use();
  assert.deepEqual(takeDesired(), ['']);
  for (const revision of [1n, 2n, 3n, 4n, 5n]) mapper.change([lease(KEY, revision)], []);
  assert.deepEqual(takeDesired(), [
    `${KEY} 192.0.2.1`,
    `${KEY} 192.0.2.1`,
    `${KEY} 192.0.2.1`,
    `${KEY} 192.0.2.4`,
    `${KEY} 192.0.2.5`,
  ]);
  assert.deepEqual(takeSaid(), [`${KEY} useless`, `${KEY} `, `${KEY} odd`]);
});

test('what is gone is forgotten with its former lease and its problems', () => {
  const { mapper, use, takeDesired, takeSaid } = map({ 2: ['useless'] });
  use();
  mapper.change([lease(KEY, 1n)], []);
  mapper.change([lease(KEY, 2n)], []);
  mapper.change([], [KEY]);
  takeDesired();
  takeSaid();
  mapper.change([lease(KEY, 2n)], []);
  assert.deepEqual(takeDesired(), [`${KEY} `]);
  assert.deepEqual(takeSaid(), [`${KEY} useless unreached`]);
  assert.deepEqual([mapper.size, mapper.underlayAddresses()], [1, []]);
});

test('before there is a backend peers are kept, and then all are mapped at once', () => {
  const { mapper, use, takeDesired } = map();
  mapper.change([lease(KEY, 1n), lease('10.3.8.0-24', 2n), lease('10.3.9.0-24', 3n)], []);
  mapper.change([], ['10.3.8.0-24']);
  assert.deepEqual([takeDesired(), mapper.underlayAddresses()], [[], []]);
  use();
  assert.deepEqual(takeDesired(), [`${KEY} 192.0.2.1; 10.3.9.0-24 192.0.2.3`]);
  assert.deepEqual(mapper.underlayAddresses().map(String), ['192.0.2.1', '192.0.2.3']);
});

test('a way that may not work yet is used for a peer to which there never was another', () => {
  const way = (link: string) => ({
    link,
    subnet: Prefix.parse('10.3.0.0/24'),
    underlayIp: Ip.parse('192.0.2.1'),
    entries: [],
  });
  const ahead = { paths: [], problems: ['is ahead'], provisional: [way('new')] };
  const preparing: Partial<Backend> = {
    peer: ({ modRevision }) => (modRevision === 2n ? ahead : { paths: [way('former')], problems: [] }),
  };
  const desired: string[] = [];
  const note = ({ paths }: { paths: readonly { link: string }[] }) =>
    void desired.push(paths.map(({ link }) => link).join());
  const target = {
    setPeer: note,
    setPeers: () => undefined,
    removePeer: () => undefined,
    peerReport: () => undefined,
  };
  const mapper = new PeerMapper(target, () => undefined);
  mapper.use(preparing as Backend);
  mapper.change([lease(KEY, 1n)], []);
  mapper.change([lease(KEY, 2n)], []);
  mapper.change([lease('10.3.8.0-24', 2n)], []);
  assert.deepEqual(desired, ['former', 'former', 'new']);
});

test('after a restart, a peer whose lease cannot be used is reached by that of the last run', () => {
  const { mapper, use, takeDesired } = map({ 2: ['useless'] });
  mapper.remember([lease(KEY, 1n), lease('10.3.9.0-24', 1n)]);
  mapper.change([lease(KEY, 2n), lease('10.3.8.0-24', 2n)], []);
  use();
  assert.deepEqual(takeDesired(), [`${KEY} 192.0.2.1; 10.3.8.0-24 `]);
  mapper.change([lease('10.3.9.0-24', 2n)], []);
  assert.deepEqual(takeDesired(), ['10.3.9.0-24 '], 'it was no peer any more');
});
