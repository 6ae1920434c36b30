import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DockerApi, DockerError } from '../../docker/docker-api.ts';
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import { linkFixture } from '../../testing/network/link-fixtures.ts';
import { BridgeFinder } from './attachment.ts';

const link = (name: string, kind: 'bridge' | 'veth') => linkFixture(7, name, { info: { kind } });

const ID = '7f6b2c0d9e1a4b5c6d7e8f9012345678';
const network = (change: Partial<DockerNetworkState> = {}): DockerNetworkState => ({
  Name: 'mynetwork',
  Id: ID,
  Driver: 'bridge',
  Internal: false,
  EnableIPv6: false,
  IPAM: { Config: [] },
  Options: {},
  Labels: {},
  Containers: {},
  ...change,
});

const finder = (
  answer: DockerNetworkState | undefined,
  known: readonly (readonly [string, string])[] = [],
) => {
  const asked: string[] = [];
  const docker = {
    async network(name: string) {
      asked.push(name);
      if (answer === undefined) throw new DockerError('NOT_FOUND', 'dockerd: no such network');
      return answer;
    },
  };
  return { bridges: new BridgeFinder(docker, known), asked };
};

test("a Docker network's bridge has a part of its id as its name, and is asked for once", async () => {
  const { bridges, asked } = finder(network());
  const links = [link('br-7f6b2c0d9e1a', 'bridge')];
  const found = { bridge: 'br-7f6b2c0d9e1a', dockerNetwork: 'mynetwork' };
  assert.deepEqual(await bridges.find('mynetwork', links), found);
  assert.deepEqual(await bridges.find('mynetwork', links), found);
  assert.deepEqual(asked, ['mynetwork']);
});

test('or the one that was chosen for it', async () => {
  const { bridges } = finder(network({ Options: { 'com.docker.network.bridge.name': 'docker0' } }));
  assert.deepEqual(await bridges.find('bridge', [link('docker0', 'bridge')]), {
    bridge: 'docker0',
    dockerNetwork: 'bridge',
  });
});

test('a bridge of the name itself needs no Docker', async () => {
  const { bridges, asked } = finder(undefined);
  assert.deepEqual(await bridges.find('br0', [link('br0', 'bridge')]), { bridge: 'br0' });
  assert.deepEqual(asked, []);
});

test('a network that was made anew is asked for again', async () => {
  const { bridges, asked } = finder(network({ Id: `ffff${ID}` }), [['mynetwork', 'br-7f6b2c0d9e1a']]);
  assert.deepEqual(await bridges.find('mynetwork', [link('br-7f6b2c0d9e1a', 'bridge')]), {
    bridge: 'br-7f6b2c0d9e1a',
    dockerNetwork: 'mynetwork',
  });
  assert.deepEqual(asked, []);
  assert.deepEqual(await bridges.find('mynetwork', [link('br-ffff7f6b2c0d', 'bridge')]), {
    bridge: 'br-ffff7f6b2c0d',
    dockerNetwork: 'mynetwork',
  });
  assert.deepEqual(asked, ['mynetwork']);
});

for (const [what, answer, links, message] of [
  ['a link that is none', undefined, [link('mynetwork', 'veth')], 'this link is no bridge'],
  ['an unknown name', undefined, [], 'neither a bridge nor a Docker network of this host has this name'],
  [
    'a network of another driver',
    network({ Driver: 'macvlan' }),
    [],
    'this Docker network has the driver macvlan, and no bridge of this host',
  ],
  ['a bridge that is gone', network(), [], 'the bridge br-7f6b2c0d9e1a of this Docker network is not there'],
] as const) {
  test(`${what} is no bridge, and says why`, async () => {
    const found = await finder(answer).bridges.find('mynetwork', links);
    assert.equal('message' in found ? found.message : found.bridge, message);
  });
}

test('a host without Docker says so', async () => {
  const found = await new BridgeFinder(new DockerApi('/nonexistent/docker.sock')).find('mynetwork', []);
  assert.ok('message' in found);
  assert.equal(
    found.message,
    'this host has no such bridge, and Docker cannot be asked for a network of this name',
  );
  assert.match(found.hint ?? '', /^no dockerd answers at \/nonexistent\/docker.sock: /);
});
