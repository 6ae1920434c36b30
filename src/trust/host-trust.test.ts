/** What a host keeps after it joined, and how it is kept good on the host of the store itself. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { listCertificates, renewCertificates } from './certificates.ts';
import {
  findHostTrust,
  findOwnTrust,
  isOwnStore,
  readHostKey,
  readJoined,
  saveJoined,
  trustFiles,
  whyUseless,
} from './host-trust.ts';
import type { Joined } from './join-client.ts';
import { keepOwnHost } from './own-host.ts';
import { StoreTrust } from './store-trust.ts';
import { makeRequest } from './x509.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const YEAR = 365.25 * 86_400_000;
const ENDPOINT = 'https://127.0.0.1:2379';
const SITE = { address: '192.0.2.3:2379', prefix: '/coreos.com/network' };
const names = { addresses: [Ip.parse('127.0.0.1')], names: ['localhost'] };
const never = new AbortController().signal;
const read = (file: string) => readFileSync(file, 'utf8');

/** The host of a store, with directories of its own. */
async function storeHost(t: TestContext) {
  const parent = mkdtempSync(join(tmpdir(), 'tt-host-trust-'));
  t.after(() => rmSync(parent, { recursive: true }));
  const [dataDir, stateDirectory] = [join(parent, 'store'), join(parent, 'state')];
  const clock = new ManualClock(Date.now());
  const trust = await StoreTrust.init(dataDir, SITE, names, clock);
  const own = { stateDirectory, hostId: HOST, endpoint: ENDPOINT };
  const files = trustFiles(stateDirectory, { endpoint: ENDPOINT, prefix: SITE.prefix });
  const keep = (changed: Partial<typeof own> = {}, of = trust) =>
    keepOwnHost(of, { ...own, ...changed }, clock.now());
  return { dataDir, stateDirectory, clock, trust, keep, files };
}

test('a host that was interrupted while it joined has not joined', async t => {
  const { stateDirectory, trust } = await storeHost(t);
  const { request, key } = await makeRequest({ commonName: HOST, organization: '' });
  const joined: Joined = { ...(await trust.certifyHost({ hostId: HOST, request })), key, endpoint: ENDPOINT };
  const obstacle = join(stateDirectory, 'trust', 'ca.pem');
  mkdirSync(obstacle, { recursive: true });
  await assert.rejects(saveJoined(stateDirectory, joined));
  assert.equal(await readJoined(stateDirectory), undefined);
  rmSync(obstacle, { recursive: true });
  const { keyFile } = await saveJoined(stateDirectory, joined);
  assert.deepEqual(await readJoined(stateDirectory), joined);
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
});

test('files of a host that are damaged or missing are reported with the way back', async t => {
  const { stateDirectory, keep, files } = await storeHost(t);
  assert.equal(await readJoined(stateDirectory), undefined);
  assert.equal(await readHostKey(stateDirectory), undefined);
  await keep();
  assert.equal(await readHostKey(stateDirectory), read(files.keyFile));
  const way = { code: 'NO_CERTIFICATE', hint: /up --join/ };
  rmSync(files.certFile);
  await assert.rejects(readJoined(stateDirectory), way);
  writeFileSync(files.keyFile, 'nonsense');
  assert.equal(await readHostKey(stateDirectory), undefined);
  writeFileSync(join(stateDirectory, 'trust', 'store.json'), '{"version":1,"endpoint":"http://192.0.2.3"}');
  await assert.rejects(readJoined(stateDirectory), way);
  assert.equal(await findHostTrust(stateDirectory), undefined);
});

test('a command goes to the store as its administrator where the store is, else as the host', async t => {
  const { dataDir, stateDirectory, trust, keep, files } = await storeHost(t);
  const { admin } = trust.authority.files;
  assert.equal(await findOwnTrust(stateDirectory, dataDir), undefined, 'the way to the store is not known');
  await keep();
  assert.deepEqual(await findOwnTrust(stateDirectory, dataDir), {
    ...files,
    certFile: admin.certificate,
    keyFile: admin.key,
  });
  assert.deepEqual(await findOwnTrust(stateDirectory, join(dataDir, 'absent')), files);
  rmSync(join(dataDir, 'pki', 'ca-key.pem'));
  assert.deepEqual(await findOwnTrust(stateDirectory, dataDir), files, 'a damaged authority is none');
});

test('a host is on the host of the store when it goes there by loopback', () => {
  assert.equal(isOwnStore({ endpoint: ENDPOINT }), true);
  assert.equal(isOwnStore({ endpoint: 'https://192.168.65.3:2379' }), false);
});

test('a certificate is of no use without an authority that has signed it and is valid', async t => {
  const [mine, other] = [await storeHost(t), await storeHost(t)];
  await Promise.all([mine.keep(), other.keep()]);
  const [joined, strange] = (await Promise.all(
    [mine, other].map(({ stateDirectory }) => readJoined(stateDirectory)),
  )) as [Joined, Joined];
  const wanted = { hostId: HOST, fingerprint: mine.trust.authority.fingerprint };
  const now = mine.clock.now();
  assert.equal(whyUseless(joined, wanted, now), undefined);
  const signedByOther = { ...joined, certificate: strange.certificate, key: strange.key };
  assert.match(whyUseless(signedByOther, wanted, now) ?? '', /of another authority/);

  // The authority was renewed, this host has a certificate of the new one, and the former one in its file.
  await mine.clock.advance(9.9 * YEAR);
  await mine.trust.authority.renew();
  await mine.keep();
  const renewed = (await readJoined(mine.stateDirectory)) as Joined;
  const then = mine.clock.now() + YEAR / 2;
  assert.equal(whyUseless(renewed, wanted, then), undefined);
  assert.match(whyUseless({ ...renewed, authority: joined.authority }, wanted, then) ?? '', /has expired on/);
});

test('the host of the store gets another certificate when the one it has will not do, for its key', async t => {
  const { stateDirectory, clock, dataDir, trust, keep, files } = await storeHost(t);
  const written = [files.certFile, files.caFile];
  assert.deepEqual(await keep(), written);
  const key = read(files.keyFile);
  assert.deepEqual(await keep(), [], 'it is good');

  await t.test('the port of the store changed', async () => {
    const endpoint = 'https://127.0.0.1:12379';
    assert.deepEqual(await keep({ endpoint }), written);
    assert.equal((await readJoined(stateDirectory))?.endpoint, endpoint);
    await keep();
  });
  await t.test('the network has another prefix', async () => {
    const moved = await StoreTrust.init(dataDir, { ...SITE, prefix: '/two' }, names, clock);
    assert.deepEqual(await keep({}, moved), written);
    assert.equal((await readJoined(stateDirectory))?.prefix, '/two');
    await keep();
  });
  await t.test('the host has another id', async () => {
    assert.deepEqual(await keep({ hostId: OTHER }), written);
    assert.equal((await readJoined(stateDirectory))?.hostId, OTHER);
    await keep();
  });
  await t.test('the authority was renewed', async () => {
    await trust.authority.renew(() => true);
    assert.deepEqual(await keep(), written);
    assert.equal(read(files.caFile), trust.authority.certificate);
  });
  await t.test('half of its life is over', async () => {
    await clock.advance(0.6 * YEAR);
    assert.deepEqual(await keep(), written);
  });
  await t.test('it is damaged', async () => {
    writeFileSync(files.certFile, 'nonsense');
    assert.deepEqual(await keep(), written);
  });
  assert.equal(read(files.keyFile), key, 'all of them are for one key');
  assert.deepEqual(await keep(), []);
});

test('on the host of the store an expired certificate is renewed by hand, without the store', async t => {
  const { dataDir, stateDirectory, clock, trust, keep, files } = await storeHost(t);
  const { authority, server, admin } = trust.authority.files;
  const ofStore = [authority, server.certificate, admin.certificate];
  assert.deepEqual(await renewCertificates({ dataDir, stateDirectory }, clock, never), ofStore);
  await keep();
  await clock.advance(2 * YEAR);
  const written = await renewCertificates({ dataDir, stateDirectory }, clock, never);
  assert.deepEqual(written, [...ofStore, files.certFile, files.caFile]);
  const end = new X509Certificate(read(files.certFile)).validToDate;
  assert.ok(end.getTime() > clock.now() + 0.9 * YEAR, end.toISOString());
  const absent = join(dataDir, 'absent');
  const nothing = { dataDir: absent, stateDirectory: absent };
  assert.deepEqual(await renewCertificates(nothing, clock, never), []);
});

test('the list of certificates has every host once', async t => {
  const { dataDir, stateDirectory, clock, trust, keep, files } = await storeHost(t);
  await keep();
  const { request } = await makeRequest({ commonName: OTHER, organization: '' });
  await trust.certifyHost({ hostId: OTHER, name: 'docker2', request });
  const found = await listCertificates({ dataDir, stateDirectory }, clock);
  assert.deepEqual(
    found.filter(({ of }) => of === 'host').map(({ hostId, name, file }) => [hostId, name, file]),
    [
      [HOST, hostname(), files.certFile],
      [OTHER, 'docker2', undefined],
    ],
  );
});
