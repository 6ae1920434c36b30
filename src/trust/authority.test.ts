/** The files of an authority: what is renewed and for which key, what is damaged, and what another process does meanwhile. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { Authority } from './authority.ts';
import { makeRequest } from './x509.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const names = { addresses: [Ip.parse('127.0.0.1')], names: ['localhost'] };
const read = (file: string) => readFileSync(file, 'utf8');
const always = () => true;

function directoryOf(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'tt-authority-'));
  t.after(() => rmSync(parent, { recursive: true }));
  return join(parent, 'pki');
}

async function authorityOf(t: TestContext) {
  const directory = directoryOf(t);
  const clock = new ManualClock(Date.now());
  const authority = await Authority.create(directory, names, clock);
  return { directory, clock, authority, again: () => Authority.open(directory, clock) };
}

test('an authority whose making was interrupted is none', async t => {
  const directory = directoryOf(t);
  const clock = new ManualClock(Date.now());
  mkdirSync(join(directory, 'admin.pem'), { recursive: true });
  await assert.rejects(Authority.create(directory, names, clock));
  assert.equal(await Authority.open(directory, clock), undefined);
  rmSync(join(directory, 'admin.pem'), { recursive: true });
  await Authority.create(directory, names, clock);
  assert.ok(await Authority.open(directory, clock));
});

test('only root reads a key, and the directory', async t => {
  const { directory } = await authorityOf(t);
  for (const name of ['ca', 'server', 'admin']) {
    assert.equal(statSync(join(directory, `${name}-key.pem`)).mode & 0o777, 0o600, name);
  }
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test('a certificate without its key, or that is none, is reported as damaged', async t => {
  const { directory, again } = await authorityOf(t);
  const key = join(directory, 'ca-key.pem');
  const kept = read(key);
  rmSync(key);
  await assert.rejects(again(), { code: 'NO_CERTIFICATE', message: /ca\.pem or its key is damaged/ });
  writeFileSync(key, kept);
  await again();
  writeFileSync(join(directory, 'ca.pem'), 'nonsense');
  await assert.rejects(again(), { code: 'NO_CERTIFICATE', message: /ca\.pem or its key is damaged/ });
});

test('every certificate is renewed for the key it has', async t => {
  const { directory, authority } = await authorityOf(t);
  const files = Object.fromEntries(
    ['ca', 'server', 'admin'].map(name => [
      join(directory, `${name}-key.pem`),
      join(directory, `${name}.pem`),
    ]),
  );
  const before = Object.entries(files).map(([key, certificate]) => [read(key), read(certificate)] as const);
  assert.deepEqual(
    await authority.renew(always),
    ['ca', 'server', 'admin'].map(name => join(directory, `${name}.pem`)),
  );
  for (const [index, [key, certificate]] of Object.entries(files).entries()) {
    assert.equal(read(key), before[index]?.[0], key);
    assert.notEqual(read(certificate), before[index]?.[1], certificate);
  }
});

test("the store's certificate is renewed with the authority's, which it is sent together with", async t => {
  const { authority } = await authorityOf(t);
  const { files, certificate } = authority;
  const written = await authority.renew(pem => pem === certificate);
  assert.deepEqual(written, [files.authority, files.server.certificate]);
  assert.notEqual(authority.certificate, certificate);
  assert.ok(read(files.server.certificate).endsWith(authority.certificate));
  assert.equal(await authority.coversStore(names), true);
});

test("an administrator's certificate that is missing, or of another authority, is made anew", async t => {
  const [{ authority, again }, other] = [await authorityOf(t), await authorityOf(t)];
  const { certificate, key } = authority.files.admin;
  const never = () => false;
  assert.deepEqual(await authority.renew(never), []);
  rmSync(certificate);
  assert.deepEqual(await authority.renew(never), [certificate]);
  copyFileSync(other.authority.files.admin.certificate, certificate);
  copyFileSync(other.authority.files.admin.key, key);
  assert.deepEqual(await authority.renew(never), [certificate]);
  assert.ok((await again())?.hasSigned(read(certificate)));
});

test('names count like addresses when it is decided whether the certificate of the store will do', async t => {
  const { authority } = await authorityOf(t);
  assert.equal(await authority.coversStore({ ...names, names: ['store.example'] }), false);
  assert.equal(await authority.coversStore({ ...names, addresses: [Ip.parse('192.0.2.7')] }), false);
  rmSync(authority.files.server.certificate);
  assert.equal(await authority.coversStore(names), false);
});

test('what another process has renewed is read again: by the next signature, and by the next renewal', async t => {
  const { authority: running, again } = await authorityOf(t);
  const former = running.certificate;
  const byHand = await again();
  await byHand?.renew(always);
  const renewed = byHand?.certificate ?? '';
  assert.notEqual(renewed, former);

  // The former certificate is due, and the one in the file is not.
  const isFormer = (pem: string) => pem === former;
  assert.deepEqual(await running.renew(isFormer), []);
  assert.equal(running.certificate, renewed);

  await byHand?.renew(always);
  const { request } = await makeRequest({ commonName: HOST, organization: '' });
  const signed = new X509Certificate(await running.certifyHost(request, HOST));
  assert.equal(running.certificate, byHand?.certificate);
  assert.ok(signed.verify(new X509Certificate(byHand?.certificate ?? '').publicKey));
});

test('an authority that is gone from the disk goes on with what it has', async t => {
  const { authority } = await authorityOf(t);
  rmSync(dirname(authority.files.authority), { recursive: true });
  const { request } = await makeRequest({ commonName: HOST, organization: '' });
  assert.ok(authority.hasSigned(await authority.certifyHost(request, HOST)));
  assert.equal(existsSync(authority.files.authority), false);
});
