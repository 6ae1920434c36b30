/** What a store keeps beside its database. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { StoreTrust } from './store-trust.ts';
import { parseToken } from './token.ts';
import { makeRequest } from './x509.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const SITE = { address: '192.0.2.3:2379', prefix: '/coreos.com/network' };
const names = { addresses: [Ip.parse('127.0.0.1')], names: [] };

async function storeIn(t: TestContext) {
  const dataDir = mkdtempSync(join(tmpdir(), 'tt-store-trust-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  const clock = new ManualClock(Date.now());
  assert.equal(await StoreTrust.open(dataDir, clock), undefined);
  const trust = await StoreTrust.init(dataDir, SITE, names, clock);
  return { trust, dataDir, clock };
}

test('a store without the file that says where it is says how to make it again', async t => {
  const { dataDir, clock, trust } = await storeIn(t);
  const file = join(dataDir, 'pki', 'site.json');
  const hint = /store init/;
  rmSync(file);
  await assert.rejects(StoreTrust.open(dataDir, clock), {
    code: 'NO_CERTIFICATE',
    message: /is missing/,
    hint,
  });
  writeFileSync(file, '{"version":1}');
  await assert.rejects(StoreTrust.open(dataDir, clock), {
    code: 'NO_CERTIFICATE',
    message: /is damaged/,
    hint,
  });
  const again = await StoreTrust.init(dataDir, { ...SITE, address: '192.0.2.4:2379' }, names, clock);
  assert.equal(again.authority.fingerprint, trust.authority.fingerprint);
  assert.equal(parseToken(await again.createToken(1000)).address, '192.0.2.4:2379');
  assert.deepEqual((await StoreTrust.open(dataDir, clock))?.site, again.site);
});

test('a host that renews without saying its name keeps the one it had', async t => {
  const { trust } = await storeIn(t);
  const { request } = await makeRequest({ commonName: HOST, organization: '' });
  await trust.certifyHost({ hostId: HOST, name: 'docker2', request });
  await trust.certifyHost({ hostId: HOST, request });
  assert.equal((await trust.hosts.find(HOST))?.name, 'docker2');
  await trust.certifyHost({ hostId: HOST, name: 'docker3', request });
  assert.equal((await trust.hosts.find(HOST))?.name, 'docker3');
});
