import assert from 'node:assert/strict';
import { test } from 'node:test';
import { site } from '../../../test/support/check-case.ts';
import { CommandError } from '../../console/errors.ts';
import { findByContainer, findCheckTarget, type KnownContainers } from './target.ts';

const own = [{ name: 'c1', addresses: ['10.5.1.2'] }];
const known: KnownContainers = new Map(
  [2, 3].map(number => [
    `docker${number}`,
    [
      { name: 'web', addresses: [`10.5.${number}.5`] },
      { name: `only${number}`, addresses: [`10.5.${number}.6`] },
    ],
  ]),
);

const find = (word: string | undefined) =>
  findCheckTarget(site, word, own) ?? findByContainer(site, word ?? '', known);

test('a host, a container and an address are found by what a person calls them', () => {
  for (const [word, peers, wanted, container] of [
    [undefined, 'docker2 docker3'],
    ['docker2', 'docker2'],
    ['192.168.65.3', 'docker3'],
    ['10.5.2.0/24', 'docker2'],
    ['10.5.2.9', 'docker2', '10.5.2.9'],
    ['docker2/web', 'docker2', '10.5.2.5'],
    ['only3', 'docker3', '10.5.3.6'],
    ['c1', 'docker2 docker3', undefined, 'c1'],
    ['docker1', 'docker2 docker3'],
  ] as const) {
    const target = find(word);
    assert.equal(target.peers.map(({ name }) => name).join(' '), peers, word);
    assert.equal(target.wanted && String(target.wanted), wanted, word);
    assert.equal(target.container, container, word);
  }
});

test('a host that knows no other says where to look', () => {
  assert.throws(
    () => findCheckTarget({ ...site, peers: [] }, 'docker9/web', own),
    (error: unknown) =>
      error instanceof CommandError && /^this host, docker1, knows no other: .*status/.test(error.hint ?? ''),
  );
});

test('a container with an address of another host is looked for on its own', () => {
  const stray: KnownContainers = new Map([['docker2', [{ name: 'web', addresses: ['10.5.9.5'] }]]]);
  for (const word of ['docker2/web', 'web'])
    assert.deepEqual(
      findByContainer(site, word, stray).peers.map(({ name }) => name),
      ['docker2'],
    );
  const outside: KnownContainers = new Map([['docker2', [{ name: 'web', addresses: ['172.17.0.2'] }]]]);
  assert.throws(() => findByContainer(site, 'docker2/web', outside), /is on no network of Tulle/);
});

test('what is not there is named, with what there is', () => {
  for (const [word, code, message, hint] of [
    ['nosuch', 'NOT_FOUND', /^no host or container is named nosuch$/, /^hosts: docker1, docker2, docker3;/],
    ['docker9/web', 'NOT_FOUND', /^no other host is named docker9$/, /^hosts: docker1, docker2, docker3;/],
    ['docker2/db', 'NOT_FOUND', /^docker2 has no container db that is known here$/, /^it has web, only2$/],
    ['8.8.8.8', 'NOT_FOUND', /^8\.8\.8\.8 is neither .* nor inside the network 10\.5\.0\.0\/16$/, /^hosts: /],
    ['10.5.9.1', 'NOT_FOUND', /^10\.5\.9\.1 is neither .* nor in the subnet of one$/, /^hosts: /],
    ['web', 'USAGE', /^several hosts have a container web$/, /^give one of docker2\/web, docker3\/web$/],
  ] as const) {
    assert.throws(
      () => find(word),
      error =>
        error instanceof CommandError &&
        error.code === code &&
        message.test(error.message) &&
        hint.test(error.hint ?? ''),
      word,
    );
  }
});
