import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import {
  type KeyedCertificate,
  keyFingerprint,
  makeAuthority,
  makeRequest,
  type Purpose,
  signRequest,
} from './x509.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;
const SUBJECT = { commonName: 'one', organization: 'tulle:host' };
const CLIENT: Purpose = { use: 'client' };
const SERVER: Purpose = { use: 'server', addresses: [Ip.parse('192.0.2.7')], names: ['store.example'] };

describe('certificates', () => {
  let authority: KeyedCertificate;
  before(async () => {
    authority = await makeAuthority(NOW);
  });
  const issue = async (purpose: Purpose) => {
    const { request, key } = await makeRequest({ commonName: 'root', organization: 'tulle:admin' });
    return {
      certificate: new X509Certificate(await signRequest(authority, request, SUBJECT, purpose, NOW)),
      key,
    };
  };

  test('only the authority may sign others, and it signs itself', () => {
    const certificate = new X509Certificate(authority.certificate);
    assert.equal(certificate.ca, true);
    assert.ok(certificate.verify(certificate.publicKey));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(authority.key)));
  });

  for (const [purpose, oid] of [
    [CLIENT, '1.3.6.1.5.5.7.3.2'],
    [SERVER, '1.3.6.1.5.5.7.3.1'],
  ] as const) {
    test(`a certificate for a ${purpose.use} is a leaf, of the authority, for that use only`, async () => {
      const { certificate, key } = await issue(purpose);
      const issuer = new X509Certificate(authority.certificate);
      assert.equal(certificate.ca, false);
      // Critical basic constraints without `cA` (RFC 5280, 4.2.1.9), as DER.
      assert.ok(certificate.raw.toString('hex').includes('0603551d130101ff04023000'));
      assert.ok(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
      assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
      assert.deepEqual(certificate.keyUsage, [oid]);
    });
  }

  test('the subject is what the signer says, not what the request asks for', async () => {
    assert.equal((await issue(CLIENT)).certificate.subject, 'CN=one\nO=tulle:host');
  });

  test("names and addresses are the server's only", async () => {
    const server = (await issue(SERVER)).certificate;
    assert.equal(server.subjectAltName, 'IP Address:192.0.2.7, DNS:store.example');
    assert.equal((await issue(CLIENT)).certificate.subjectAltName, undefined);
  });

  test('a certificate is valid a little before it is made, for clocks that are behind', async () => {
    const { certificate } = await issue(CLIENT);
    assert.equal(certificate.validFromDate.getTime(), NOW - 3_600_000);
    assert.equal(certificate.validToDate.getTime(), NOW + 365.25 * DAY);
  });

  test('no certificate outlives that of its authority', async () => {
    const end = new X509Certificate(authority.certificate).validToDate.getTime();
    const { request } = await makeRequest(SUBJECT);
    const late = await signRequest(authority, request, SUBJECT, CLIENT, end - DAY);
    assert.equal(new X509Certificate(late).validToDate.getTime(), end);
  });

  test('an authority that is renewed has the key it had, and signs as before', async () => {
    const { certificate } = await issue(CLIENT);
    const renewed = await makeAuthority(NOW + 5 * 365 * DAY, authority.key);
    const issuer = new X509Certificate(renewed.certificate);
    assert.notEqual(renewed.certificate, authority.certificate);
    assert.equal(
      keyFingerprint(issuer.publicKey),
      keyFingerprint(new X509Certificate(authority.certificate).publicKey),
    );
    assert.ok(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
  });

  test('a request that its own key did not sign is refused', async () => {
    const { request } = await makeRequest(SUBJECT);
    const der = Buffer.from(request.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
    // The signature is the last thing in it.
    der[der.byteLength - 1] = (der.at(-1) ?? 0) ^ 1;
    const altered = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    await assert.rejects(signRequest(authority, altered, SUBJECT, CLIENT, NOW), /not signed by its own key/);
  });
});
