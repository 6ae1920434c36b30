/**
 * Making certificates (RFC 5280) and certificate requests (RFC 2986), on the curve P-256. Reading and checking
 * them needs only node:crypto. The library is loaded when the first certificate is made: an agent that has its
 * certificate never pays for it.
 */
import { randomBytes, webcrypto } from 'node:crypto';
import type { Ip } from '../base/ip.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const YEAR_MS = 365.25 * 86_400_000;
/** The authority's certificate, and those it signs. */
const AUTHORITY_MS = 20 * YEAR_MS;
const LEAF_MS = 5 * YEAR_MS;
/** Clocks of hosts differ: a certificate is valid from a little before it is made. */
const SLACK_MS = 3_600_000;

/** PEM texts of a certificate and its private key. */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly key: string;
}

export interface Subject {
  readonly commonName: string;
  readonly organization: string;
}

export type Purpose =
  | { readonly use: 'client' }
  | { readonly use: 'server'; readonly addresses: readonly Ip[]; readonly names: readonly string[] };

async function library() {
  // The library's dependency injection wants this to be there first.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

/** A new authority that signs itself and nothing but leaves. */
export async function makeAuthority(now: number): Promise<KeyedCertificate> {
  const x509 = await library();
  const keys = await newKeys();
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: 'CN=Tulle authority',
    ...validity(now, AUTHORITY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
}

/** A key pair and a request for a certificate. What the request says of its owner is only a proposal. */
export async function makeRequest(
  subject: Subject,
): Promise<{ readonly request: string; readonly key: string }> {
  const x509 = await library();
  const keys = await newKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(subject),
    keys,
    signingAlgorithm: ALGORITHM,
  });
  return { request: request.toString('pem'), key: await exportKey(keys.privateKey) };
}

/**
 * Signs the key of a request for this subject, whatever the request says about itself.
 * @throws Error for a request that does not parse, or that its own key did not sign.
 */
export async function signRequest(
  authority: KeyedCertificate,
  request: string,
  subject: Subject,
  purpose: Purpose,
  now: number,
): Promise<string> {
  const x509 = await library();
  const parsed = new x509.Pkcs10CertificateRequest(request);
  if (!(await parsed.verify())) throw new Error('the request was not signed by its own key');
  const issuer = new x509.X509Certificate(authority.certificate);
  const { digitalSignature } = x509.KeyUsageFlags;
  const names =
    purpose.use === 'server'
      ? [
          ...purpose.addresses.map(ip => ({ type: 'ip', value: ip.toString() }) as const),
          ...purpose.names.map(name => ({ type: 'dns', value: name }) as const),
        ]
      : [];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(subject),
    issuer: issuer.subject,
    ...validity(now, LEAF_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: parsed.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        purpose.use === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
      ]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  return certificate.toString('pem');
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

/** 16 random bytes, positive, as RFC 5280 4.1.2.2 wants it. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(now: number, length: number) {
  return { notBefore: new Date(now - SLACK_MS), notAfter: new Date(now + length) };
}

function nameOf({ commonName, organization }: Subject) {
  return [{ CN: [commonName] }, { O: [organization] }];
}
