import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, type TestContext, test } from 'node:test';
import { Mac } from '../../base/mac.ts';
import type { KeptTunnels } from '../../network/tunnel/kept.ts';
import { TunnelFile } from './tunnel-file.ts';

let directory: string;
let path: string;
beforeEach(t => {
  directory = mkdtempSync(join(tmpdir(), 'tt-tunnels-'));
  path = join(directory, 'state', 'tunnels.json');
  (t as TestContext).after(() => rmSync(directory, { recursive: true }));
});

const KEPT: KeptTunnels = {
  tunnels: [
    {
      request: { name: 'vxlan1', vni: 1, remote: '172.31.0.107', port: 4789, addresses: [], learning: true },
      mac: Mac.parse('02:00:00:00:00:11'),
      bridge: 'br0',
    },
  ],
  fitted: [{ bridge: 'br0', netns: 4026532621, index: 7, name: 'eth0', port: 8, was: 1500, now: 1450 }],
};

const open = async () => (await TunnelFile.open(path)).kept;
const asText = (kept: KeptTunnels) => JSON.stringify(kept);

async function saved(): Promise<void> {
  const { storage, kept } = await TunnelFile.open(path);
  assert.deepEqual(kept, { tunnels: [], fitted: [] });
  await storage.save(KEPT);
}

test('what is saved is read again, and the file is for root alone', async () => {
  await saved();
  assert.equal(asText(await open()), asText(KEPT));
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('what another process is writing is left to it, and what a killed agent was writing is removed', async () => {
  await saved();
  const unfinished = join(directory, 'state', '.tunnels.json.0');
  writeFileSync(unfinished, '{');
  await TunnelFile.open(path);
  assert.ok(existsSync(unfinished));
  await TunnelFile.open(path, true);
  assert.ok(!existsSync(unfinished));
});

test('without tunnels there is no file', async () => {
  await saved();
  const { storage } = await TunnelFile.open(path);
  await storage.save({ tunnels: [], fitted: [] });
  assert.ok(!existsSync(path));
});

test('after a restart of the host nothing is said of links that it had', async () => {
  await saved();
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"boot":"[^"]+"/, '"boot":"another"'));
  const { tunnels, fitted } = await open();
  assert.deepEqual([tunnels.length, fitted], [1, []]);
});

for (const [what, change] of [
  ['cut off', (text: string) => text.slice(0, text.length / 2)],
  ['of another version', (text: string) => text.replace('"version":1', '"version":2')],
  ['with a group as a MAC address', (text: string) => text.replace('02:00', '01:00')],
  ['with something that is unknown', (text: string) => text.replace('"vni":1', '"vni":1,"tunnel":2')],
] as const) {
  test(`a file ${what} is put aside`, async () => {
    await saved();
    writeFileSync(path, change(readFileSync(path, 'utf8')));
    assert.deepEqual(await open(), { tunnels: [], fitted: [] });
    assert.deepEqual(readdirSync(join(directory, 'state')), ['tunnels.json.damaged']);
  });
}

test('a directory that cannot be written refuses, and the former file stays', async () => {
  await saved();
  const { storage } = await TunnelFile.open(path);
  rmSync(join(directory, 'state'), { recursive: true });
  writeFileSync(join(directory, 'state'), 'a file is in the way');
  await assert.rejects(storage.save(KEPT), { code: /ENOTDIR|EEXIST/ });
});
