/** The list of hosts that have a certificate, as files. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CertifiedHosts } from './certified-hosts.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const record = (hostId: string, name: string) => ({
  hostId,
  name,
  key: '0'.repeat(64),
  expiresAt: '2030-01-01T00:00:00.000Z',
});

function hostsIn(t: TestContext) {
  const parent = mkdtempSync(join(tmpdir(), 'tt-hosts-'));
  t.after(() => rmSync(parent, { recursive: true }));
  const directory = join(parent, 'hosts');
  const fileOf = (hostId: string) => join(directory, `${hostId}.json`);
  return { parent, directory, hosts: new CertifiedHosts(directory), fileOf };
}

test('a host is found by its id, and hosts that share a name by that', async t => {
  const { hosts } = hostsIn(t);
  assert.deepEqual(await hosts.list(), []);
  await hosts.write(record(OTHER, 'docker2'));
  await hosts.write(record(HOST, 'docker2'));
  assert.deepEqual(await hosts.find(HOST), record(HOST, 'docker2'));
  assert.deepEqual(await hosts.search(OTHER), [record(OTHER, 'docker2')]);
  assert.deepEqual(await hosts.search('docker2'), [record(HOST, 'docker2'), record(OTHER, 'docker2')]);
  assert.deepEqual(await hosts.search('docker3'), []);
});

test('only root reads a record', async t => {
  const { directory, hosts, fileOf } = hostsIn(t);
  await hosts.write(record(HOST, 'docker2'));
  assert.equal(statSync(fileOf(HOST)).mode & 0o777, 0o600);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test('an id that would name another file is the id of no host', async t => {
  const { parent, hosts } = hostsIn(t);
  const { hostId: _, ...file } = record(HOST, 'docker2');
  writeFileSync(join(parent, 'other.json'), JSON.stringify({ version: 1, ...file }));
  await hosts.write(record(HOST, 'docker2'));
  assert.equal(await hosts.find('../other'), undefined);
});

test('of a damaged record it is not known whose key it had', async t => {
  const { hosts, fileOf } = hostsIn(t);
  await hosts.write(record(HOST, 'docker2'));
  writeFileSync(fileOf(HOST), '{"version":1');
  const damaged = { code: 'NO_CERTIFICATE', message: new RegExp(HOST), hint: /remove it/ };
  await assert.rejects(hosts.find(HOST), damaged);
  await assert.rejects(hosts.list(), damaged);
  assert.equal(await hosts.find(OTHER), undefined);
});

test('one works at a time, also after one has failed', async t => {
  const { hosts } = hostsIn(t);
  const done: string[] = [];
  const first = hosts.exclusively(async () => {
    await hosts.find(HOST);
    done.push('first');
    throw new Error('failed');
  });
  const second = hosts.exclusively(async () => done.push('second'));
  await assert.rejects(first, { message: 'failed' });
  await second;
  assert.deepEqual(done, ['first', 'second']);
});
