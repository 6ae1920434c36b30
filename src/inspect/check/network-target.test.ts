import assert from 'node:assert/strict';
import { test } from 'node:test';
import { site as plain } from '../../../test/support/check-case.ts';
import { Ip } from '../../base/ip.ts';
import { CommandError } from '../../console/errors.ts';
import { networkInnerRungs, networkOwnRungs, unseenOf } from './network-ladder.ts';
import { findNetworkTarget, type NetworkTarget } from './network-target.ts';

// The store knows hosts by their ids.
const site = {
  ...plain,
  peers: plain.peers.map((peer, at) => ({ ...peer, names: [...peer.names, `id-${at + 2}`] })),
};
const own = [
  { name: 'c1', addresses: ['10.9.1.1'] },
  { name: 'lonely', addresses: ['10.8.1.1'] },
  { name: 'db', addresses: ['10.5.1.9'] },
];
const named = (network: string, address: string, number: number, ...names: string[]) => ({
  network,
  address,
  names,
  hostId: `id-${number}`,
  hostName: `docker${number}`,
});
const all = [
  named('blue', '10.9.1.1', 1, 'c1'),
  named('blue', '10.9.2.1', 2, 'web', 'alias'),
  named('blue', '10.9.3.1', 3, 'web'),
  named('blue', '10.9.3.2', 3, 'db'),
  named('red', '10.8.1.1', 1, 'lonely'),
  named('green', '10.7.2.1', 2, 'far'),
  named('default', '10.5.2.7', 2, 'over'),
];
const networks = [{ name: 'blue', bridge: 'tb-blue', mtu: 1450 }, { name: 'green' }];

const find = (word: string | undefined) => findNetworkTarget(site, word, own, { networks, named: all });
const textOf = ({ network, from, to }: NetworkTarget) =>
  `${network}: ${from.map(({ name }) => name).join()} > ${to.map(one => `${one.peer.name}/${one.name}`).join()}`;

test('a container of an L2 network is found by what a person calls it', () => {
  for (const [word, expected] of [
    ['docker2/web', 'blue: c1 > docker2/web'],
    ['alias', 'blue: c1 > docker2/web'],
    ['10.9.3.1', 'blue: c1 > docker3/web'],
    ['192.168.65.3/web', 'blue: c1 > docker3/web'],
    // One of this host asks those of the others.
    ['c1', 'blue: c1 > docker2/web,docker3/web,docker3/db'],
    ['docker1/c1', 'blue: c1 > docker2/web,docker3/web,docker3/db'],
    ['lonely', 'red: lonely > '],
    ['far', 'green:  > docker2/far'],
  ] as const)
    assert.equal(textOf(find(word) ?? assert.fail(word)), expected, word);
});

test('hosts, what is on the overlay, and what nobody knows are not its business', () => {
  for (const word of [
    undefined,
    'docker1',
    'docker2',
    'over',
    '10.5.2.7',
    '10.9.9.9',
    'nosuch',
    'docker9/web',
    'db',
  ])
    assert.equal(find(word), undefined, word);
  assert.throws(
    () => find('web'),
    error => error instanceof CommandError && error.hint === 'give one of docker2/web, docker3/web',
  );
});

test('packets go through the network, and what is not looked at is said', () => {
  const target = find('docker2/web') ?? assert.fail();
  const [docker2, docker3] = site.peers;
  assert.ok(docker2 && docker3);
  assert.deepEqual(
    networkInnerRungs(target, docker2).map(({ container, to, bytes }) => `${container} ${to} ${bytes}`),
    ['c1 10.9.2.1 28', 'c1 10.9.2.1 1450'],
  );
  assert.deepEqual(networkInnerRungs(target, docker3), []);
  const [gateway] = networkOwnRungs(target, [Ip.parse('fd00::1'), Ip.parse('10.9.0.1')]);
  assert.equal(`${gateway?.kind} ${gateway?.to}`, 'gateway 10.9.0.1');
  assert.match(unseenOf(target).join(), /^the settings of the network blue \(bridge tb-blue/);
  assert.match(
    unseenOf(find('far') ?? assert.fail()).join(),
    /^no container of this host is on the network green/,
  );
  assert.match(
    unseenOf(find('lonely') ?? assert.fail()).join(),
    /^no container of another host is on .* red/,
  );
});
