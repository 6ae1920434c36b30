import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Prefix } from '../base/prefix.ts';
import { agentFiles } from './cleanup.ts';

function places(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-state-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const stateDirectory = join(directory, 'state');
  mkdirSync(stateDirectory);
  return {
    networks: [Prefix.parse('10.5.0.0/16')],
    subnetFile: join(directory, 'subnet.env'),
    socket: join(directory, 'agent.sock'),
    stateDirectory,
    directory,
  };
}

test('what an agent leaves is found, and nothing is when there was none', async t => {
  const { directory, ...at } = places(t);
  writeFileSync(at.subnetFile, 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_MTU=1450\n');
  const server = createServer();
  await new Promise<void>(resolve => server.listen(at.socket, resolve));
  t.after(() => server.close());
  for (const name of ['identity.json', 'identity.json.damaged', 'known-0a1b2c3d.json']) {
    writeFileSync(join(at.stateDirectory, name), '{}');
  }
  mkdirSync(join(at.stateDirectory, 'trust'));
  assert.deepEqual(agentFiles(at), [at.subnetFile, at.socket, at.stateDirectory]);
  const absent = join(directory, 'absent');
  assert.deepEqual(agentFiles({ ...at, subnetFile: absent, socket: absent, stateDirectory: absent }), []);
});

test("the store's database and files of others are never part of it", t => {
  const { networks, stateDirectory } = places(t);
  const absent = join(stateDirectory, 'absent');
  const identity = join(stateDirectory, 'identity.json');
  writeFileSync(identity, '{}');
  mkdirSync(join(stateDirectory, 'store'));
  assert.deepEqual(agentFiles({ networks, subnetFile: absent, socket: absent, stateDirectory }), [identity]);
});

test('a mistyped place is left alone', t => {
  const { directory, networks, subnetFile } = places(t);
  writeFileSync(subnetFile, 'root:x:0:0\n');
  symlinkSync(directory, join(directory, 'link'));
  for (const path of [directory, subnetFile, join(directory, 'link')]) {
    assert.deepEqual(
      agentFiles({ networks, subnetFile: path, socket: path, stateDirectory: path }),
      [],
      path,
    );
  }
});

test('A1: a subnet file of another network is no part of it, nor one that names none', t => {
  const at = places(t);
  for (const text of ['FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\n', 'FLANNEL_MTU=1450\n']) {
    writeFileSync(at.subnetFile, text);
    assert.ok(!agentFiles(at).includes(at.subnetFile), text);
  }
});
