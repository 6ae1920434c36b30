import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Mac } from '../../base/mac.ts';
import { Identity } from './state-directory.ts';

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tt-state-'));
  directory = join(root, 'tulle');
});
afterEach(() => rmSync(root, { recursive: true }));

const file = () => join(directory, 'identity.json');

test('a host stays the same over restarts', async () => {
  const first = await Identity.open(directory);
  const mac = first.mac('flannel.88');
  await first.save();
  assert.equal(first.failure, undefined);
  const second = await Identity.open(directory);
  assert.equal(second.hostId, first.hostId);
  assert.ok(second.mac('flannel.88').equals(mac));
  assert.equal(statSync(file()).mode & 0o777, 0o600);
});

test('each family has its own MAC, locally administered and unicast, whatever the VNI', async () => {
  const identity = await Identity.open(directory);
  const macs = ['flannel.1', 'flannel.88', 'flannel-v6.1', 'flannel-v6.88'].map(name => identity.mac(name));
  const [first, second, third, fourth] = macs.map(String);
  assert.deepEqual([second, fourth], [first, third]);
  assert.notEqual(first, third);
  for (const mac of macs) {
    assert.ok(mac.isUnicast);
    assert.equal((mac.bytes[0] ?? 0) & 2, 2);
  }
});

test('takes over the MAC of an existing device permanently', async () => {
  const mac = Mac.parse('c6:d2:32:6f:8f:44');
  const first = await Identity.open(directory);
  first.adopt('flannel.1', mac);
  await first.save();
  const second = await Identity.open(directory);
  second.adopt('flannel.1', Mac.parse('02:00:00:00:00:01'));
  assert.ok(second.mac('flannel.1').equals(mac));
});

test('a MAC that is known is not given up for one that a device has meanwhile', async () => {
  const identity = await Identity.open(directory);
  const mac = identity.mac('flannel.1');
  identity.adopt('flannel.1', Mac.parse('c6:d2:32:6f:8f:44'));
  assert.ok(identity.mac('flannel.1').equals(mac));
});

test('a damaged file is put aside', async () => {
  const { hostId } = await Identity.open(directory);
  for (const damage of ['', '{', '{"version":1}', '{"version":1,"hostId":"x","macs":{}}']) {
    writeFileSync(file(), damage);
    const identity = await Identity.open(directory);
    assert.notEqual(identity.hostId, hostId);
    assert.equal(readFileSync(`${file()}.damaged`, 'utf8'), damage);
    assert.equal((await Identity.open(directory)).hostId, identity.hostId);
  }
});

test('works on without a directory it can write, and saves once it can', async () => {
  writeFileSync(directory, 'in the way');
  const identity = await Identity.open(directory);
  assert.ok(['STATE_NOT_SAVED', 'STATE_NOT_READABLE'].includes(identity.failure?.code ?? ''));
  const mac = identity.mac('flannel.1');
  rmSync(directory);
  await identity.save();
  assert.equal(identity.failure, undefined);
  assert.ok(existsSync(file()));
  assert.ok((await Identity.open(directory)).mac('flannel.1').equals(mac));
});
