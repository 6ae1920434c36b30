import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { within } from '../../../test/support/eventually.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { type AskDocker, BridgeFinder, type DockerNetwork, dockerAt } from './attachment.ts';

const link = (name: string, kind: 'bridge' | 'veth'): Link => ({
  index: 7,
  name,
  type: 1,
  flags: 1,
  up: true,
  running: true,
  info: { kind },
  unknown: [],
});

const ID = '7f6b2c0d9e1a4b5c6d7e8f9012345678';
const network = (change: Partial<DockerNetwork> = {}): DockerNetwork => ({
  name: 'mynetwork',
  id: ID,
  driver: 'bridge',
  options: {},
  ...change,
});

const finder = (answer: DockerNetwork | undefined) => {
  const asked: string[] = [];
  const ask: AskDocker = async name => {
    asked.push(name);
    return answer;
  };
  return { bridges: new BridgeFinder(ask), asked };
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
  const { bridges } = finder(network({ options: { 'com.docker.network.bridge.name': 'docker0' } }));
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
  const { bridges, asked } = finder(network({ id: `ffff${ID}` }));
  const known = new BridgeFinder(
    async name => (await bridges.find(name, []), network({ id: `ffff${ID}` })),
    [['mynetwork', 'br-7f6b2c0d9e1a']],
  );
  assert.deepEqual(await known.find('mynetwork', [link('br-7f6b2c0d9e1a', 'bridge')]), {
    bridge: 'br-7f6b2c0d9e1a',
    dockerNetwork: 'mynetwork',
  });
  assert.deepEqual(await known.find('mynetwork', [link('br-ffff7f6b2c0d', 'bridge')]), {
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
    network({ driver: 'macvlan' }),
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

/** Docker's API with these answers. */
async function docker(t: TestContext, status: number, body: string): Promise<AskDocker> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-docker-'));
  const socket = join(directory, 'docker.sock');
  const server = createServer((request, response) => {
    assert.equal(request.url, '/networks/my%2Fnet');
    response.writeHead(status).end(body);
  });
  server.listen(socket);
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  await within('the server listens', once(server, 'listening'));
  return dockerAt(socket);
}

test('Docker is asked over its socket', async t => {
  const described = { Name: 'my/net', Id: ID, Driver: 'bridge', Options: { a: 'b', c: 5 }, Containers: {} };
  const ask = await docker(t, 200, JSON.stringify(described));
  assert.deepEqual(await ask('my/net'), { name: 'my/net', id: ID, driver: 'bridge', options: { a: 'b' } });
});

test('and knows no such network, or says what is wrong', async t => {
  assert.equal(await (await docker(t, 404, '{"message":"not found"}'))('my/net'), undefined);
  const broken = await docker(t, 500, '{"message":"out of space"}');
  await assert.rejects(broken('my/net'), /Docker answers 500: out of space/);
  await assert.rejects((await docker(t, 200, '{"Id":5}'))('my/net'), /in a form that is not known/);
  await assert.rejects((await docker(t, 200, '<html>'))('my/net'), /JSON/);
});

test('a host without Docker says so', async () => {
  const found = await new BridgeFinder(dockerAt('/nonexistent/docker.sock')).find('mynetwork', []);
  assert.deepEqual(found, {
    message: 'this host has no such bridge, and Docker cannot be asked for a network of this name',
    hint: 'Docker does not run',
  });
});
