/** Joining over real TLS on loopback, the store's side and the host's. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { joinableStore, names, serveTls } from '../../test/support/join-store.ts';
import { Ip } from '../base/ip.ts';
import { readJoined, saveJoined, whyUseless } from './host-trust.ts';
import { MAX_JOIN_BYTES } from './join.ts';
import { joinStore, renewCertificate } from './join-client.ts';
import { StoreTrust } from './store-trust.ts';
import { parseToken } from './token.ts';
import { isDueForRenewal } from './x509.ts';

const HOST = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const HOUR = 3_600_000;
const YEAR = 365.25 * 86_400_000;
const never = new AbortController().signal;

function* endless() {
  for (;;) yield 'x'.repeat(1024);
}

test('a host with a token gets a certificate in its own name, and keeps what it needs', async t => {
  const { trust, directory } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  const joined = await joinStore(token, { hostId: HOST }, never);
  const certificate = new X509Certificate(joined.certificate);
  assert.equal(certificate.subject, `CN=${HOST}\nO=tulle:host`);
  assert.ok(certificate.verify(new X509Certificate(trust.authority.certificate).publicKey));
  assert.equal(joined.authority.trim(), trust.authority.certificate.trim());
  assert.equal(joined.prefix, '/coreos.com/network');

  const files = await saveJoined(directory, joined);
  assert.equal(files.endpoint, `https://${token.address}`);
  assert.equal(readFileSync(files.keyFile, 'utf8'), joined.key);
  assert.deepEqual(await readJoined(directory), joined);
});

test('an authority survives a second init; its store certificate follows the addresses', async t => {
  const { trust, directory, clock } = await joinableStore(t);
  const more = { addresses: [...names.addresses, Ip.parse('192.0.2.7')], names: ['store.example'] };
  assert.equal(await trust.authority.coversStore(names), true);
  assert.equal(await trust.authority.coversStore(more), false);
  const again = await StoreTrust.init(directory, trust.site, more, clock);
  assert.equal(again.authority.fingerprint, trust.authority.fingerprint);
  assert.equal(await again.authority.coversStore(more), true);
});

test('D3: what the store keeps is renewed when half of it is over, and not before', async t => {
  const { trust, directory, clock } = await joinableStore(t);
  const { authority, server, admin } = trust.authority.files;
  const read = () =>
    [authority, server.certificate, admin.certificate].map(file => readFileSync(file, 'utf8'));
  const fresh = read();
  await clock.advance(0.4 * YEAR);
  await StoreTrust.init(directory, trust.site, names, clock);
  assert.deepEqual(read(), fresh);
  await clock.advance(0.2 * YEAR);
  await StoreTrust.init(directory, trust.site, names, clock);
  const [sameAuthority, ...renewed] = read();
  assert.equal(sameAuthority, fresh[0]);
  for (const pem of renewed) assert.ok(!fresh.includes(pem) && trust.authority.hasSigned(pem));
  assert.equal(await trust.authority.coversStore(names), true);
});

test('a store certificate of another authority covers nothing', async t => {
  const [mine, other] = [await joinableStore(t), await joinableStore(t)];
  for (const part of ['certificate', 'key'] as const) {
    copyFileSync(other.trust.authority.files.server[part], mine.trust.authority.files.server[part]);
  }
  assert.equal(await mine.trust.authority.coversStore(names), false);
});

test('an expired, a revoked and a made-up token are refused', async t => {
  const { trust, clock } = await joinableStore(t);
  const [expired, revoked, good] = [
    await trust.createToken(HOUR),
    await trust.createToken(2 * HOUR),
    await trust.createToken(2 * HOUR),
  ];
  await clock.advance(HOUR);
  await trust.tokens.revoke(parseToken(revoked).id);
  const madeUp = { ...parseToken(good), secret: '0'.repeat(32) };
  for (const token of [parseToken(expired), parseToken(revoked), madeUp]) {
    await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'TOKEN_REFUSED' });
  }
  await joinStore(parseToken(good), { hostId: HOST }, never);
});

test('the secret is shown to nobody who has another authority', async t => {
  const [real, impostor] = [await joinableStore(t), await joinableStore(t)];
  const token = parseToken(await real.trust.createToken(HOUR));
  const misled = { ...token, address: impostor.trust.site.address };
  await assert.rejects(joinStore(misled, { hostId: HOST }, never), { code: 'NOT_THE_STORE' });
  assert.deepEqual(impostor.log.records, []);
});

test('nor to one who shows the real authority next to a certificate of another', async t => {
  const [real, impostor] = [await joinableStore(t), await joinableStore(t)];
  const { certificate, key } = impostor.trust.authority.files.server;
  const [leaf = ''] = readFileSync(certificate, 'utf8').split(/(?<=-----END CERTIFICATE-----\n)/);
  let asked = false;
  const address = await serveTls(
    t,
    { cert: `${leaf}${real.trust.authority.certificate}`, key: readFileSync(key) },
    (_, response) => {
      asked = true;
      response.end();
    },
  );
  const token = { ...parseToken(await real.trust.createToken(HOUR)), address };
  await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'NOT_THE_STORE' });
  assert.equal(asked, false);
});

test('an answer without end is broken off', async t => {
  const { trust } = await joinableStore(t);
  const { certificate, key } = trust.authority.files.server;
  const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
  const address = await serveTls(t, tls, (request, response) => {
    request.resume();
    Readable.from(endless())
      .on('error', () => undefined)
      .pipe(response);
  });
  const token = { ...parseToken(await trust.createToken(HOUR)), address };
  await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'NO_ANSWER', message: /too long/ });
});

test('a host renews with the certificate it has, in its own name only', async t => {
  const { trust } = await joinableStore(t);
  const joined = await joinStore(parseToken(await trust.createToken(HOUR)), { hostId: HOST }, never);
  const renewed = await renewCertificate(joined, never);
  assert.notEqual(renewed.certificate, joined.certificate);
  assert.equal(new X509Certificate(renewed.certificate).subject, `CN=${HOST}\nO=tulle:host`);
  await assert.rejects(renewCertificate({ ...joined, hostId: OTHER }, never), { code: 'TOKEN_REFUSED' });
  const stranger = { ...joined, certificate: '' };
  await assert.rejects(renewCertificate(stranger, never), { code: 'TOKEN_REFUSED' });
});

test('D1: an id that has a certificate needs its key, or a token made for it', async t => {
  const { trust, log } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  const joined = await joinStore(token, { hostId: HOST }, never);
  await assert.rejects(joinStore(token, { hostId: HOST }, never), {
    code: 'TOKEN_REFUSED',
    message: /does not prove that it has its key/,
    hint: /store token --host/,
  });
  assert.ok(log.records.some(({ message }) => message === 'a host was refused'));

  const again = await joinStore(token, { hostId: HOST, key: joined.key }, never);
  assert.equal(again.key, joined.key);
  const made = parseToken(await trust.createToken(HOUR, HOST));
  const replaced = await joinStore(made, { hostId: OTHER }, never);
  assert.equal(replaced.hostId, HOST);
  assert.equal(new X509Certificate(replaced.certificate).subject, `CN=${HOST}\nO=tulle:host`);
  // From now on the new key is the proof, and the old one is none.
  await assert.rejects(joinStore(token, { hostId: HOST, key: joined.key }, never), { code: 'TOKEN_REFUSED' });
  await joinStore(token, { hostId: HOST, key: replaced.key }, never);
});

test('D1: of two hosts that come with one new id at the same time, one gets it', async t => {
  const { trust } = await joinableStore(t);
  const token = parseToken(await trust.createToken(HOUR));
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => joinStore(token, { hostId: HOST }, never)));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('D4: a certificate is of use only while it is valid, of this authority and of this host', async t => {
  const [mine, other] = [await joinableStore(t), await joinableStore(t)];
  const joined = await joinStore(parseToken(await mine.trust.createToken(HOUR)), { hostId: HOST }, never);
  const { fingerprint } = mine.trust.authority;
  const now = mine.clock.now();
  assert.equal(whyUseless(joined, { hostId: HOST, fingerprint }, now), undefined);
  const strange = other.trust.authority.fingerprint;
  assert.match(whyUseless(joined, { hostId: HOST, fingerprint: strange }, now) ?? '', /another authority/);
  assert.match(whyUseless(joined, { hostId: OTHER, fingerprint }, now) ?? '', /another host/);
  assert.match(whyUseless(joined, { hostId: HOST, fingerprint }, now + YEAR) ?? '', /has expired/);
  const anew = await joinStore(parseToken(await mine.trust.createToken(HOUR)), { hostId: OTHER }, never);
  const mixed = { ...joined, key: anew.key };
  assert.match(whyUseless(mixed, { hostId: HOST, fingerprint }, now) ?? '', /its key/);
});

test('D7: a host whose clock is ten days behind gets a hint about its clock', async t => {
  const { trust } = await joinableStore(t, 10 * 24 * HOUR);
  const token = parseToken(await trust.createToken(HOUR));
  await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'NO_ANSWER', hint: /clock/ });
});

test('a certificate is due when half of its life is over', async t => {
  const { trust, clock } = await joinableStore(t);
  const joined = await joinStore(parseToken(await trust.createToken(HOUR)), { hostId: HOST }, never);
  assert.equal(isDueForRenewal(joined.certificate, clock.now()), false);
  assert.equal(isDueForRenewal(joined.certificate, clock.now() + 0.4 * YEAR), false);
  assert.equal(isDueForRenewal(joined.certificate, clock.now() + 0.6 * YEAR), true);
});

test('a store that is not there is an answer with a hint', async t => {
  const { trust } = await joinableStore(t);
  const token = { ...parseToken(await trust.createToken(HOUR)), address: '127.0.0.1:9' };
  await assert.rejects(joinStore(token, { hostId: HOST }, never), { code: 'NO_ANSWER' });
  await assert.rejects(joinStore(token, { hostId: HOST }, AbortSignal.abort(new Error('stop'))), {
    message: 'stop',
  });
});

test('what is no join request is refused, and never lets the server fall', async t => {
  const { trust } = await joinableStore(t);
  const post = async (body: string) => {
    const { request } = await import('node:https');
    return new Promise<number | undefined>((resolve, reject) => {
      const sent = request(
        `https://${trust.site.address}/tulle/v1/join`,
        { method: 'POST', ca: trust.authority.certificate, agent: false },
        response => resolve(response.resume().statusCode),
      );
      sent.on('error', reject).end(body);
    });
  };
  const csr = '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n';
  const { id, secret } = parseToken(await trust.createToken(HOUR));
  const tooLong = JSON.stringify({ hostId: HOST, request: csr.padEnd(64 * MAX_JOIN_BYTES) });
  for (const body of [
    '',
    '{',
    '[]',
    '{"hostId":1}',
    JSON.stringify({ hostId: HOST, request: 'x' }),
    tooLong,
  ]) {
    assert.equal(await post(body), 400, body);
  }
  assert.equal(await post(JSON.stringify({ hostId: HOST, request: csr })), 403);
  assert.equal(await post(JSON.stringify({ token: { id, secret }, hostId: HOST, request: csr })), 400);
  await joinStore(parseToken(await trust.createToken(HOUR)), { hostId: HOST }, never);
});
