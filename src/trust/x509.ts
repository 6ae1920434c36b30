/**
 * Making certificates (RFC 5280) and certificate requests (RFC 2986), on the curve P-256. Reading and checking
 * them needs only node:crypto. The library is loaded when the first certificate is made: an agent that has its
 * certificate never pays for it.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { Ip } from '../base/ip.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const YEAR_MS = 365.25 * 86_400_000;
/** The authority's certificate, and those it signs. Each is renewed when half of its life is over. */
const AUTHORITY_MS = 10 * YEAR_MS;
const LEAF_MS = YEAR_MS;
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

/**
 * An authority that signs itself and nothing but leaves.
 *
 * @param key that of the authority whose certificate is renewed: what it has signed stays good, and a program that trusts the
 *   former certificate trusts what is signed from now on.
 */
export async function makeAuthority(now: number, key?: string): Promise<KeyedCertificate> {
  const x509 = await library();
  const keys = await keysOf(key);
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

/**
 * A request for a certificate, and its key. What the request says of its owner is only a proposal.
 *
 * @param key PEM of the key to use; a new one unless given
 */
export async function makeRequest(
  subject: Subject,
  key?: string,
): Promise<{ readonly request: string; readonly key: string }> {
  const x509 = await library();
  const keys = await keysOf(key);
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
    ...validity(now, Math.min(LEAF_MS, issuer.notAfter.getTime() - now)),
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

/** SHA-256 of a public key (SubjectPublicKeyInfo), lower-case hex: the same for all certificates of one key. */
export function keyFingerprint(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** `keyFingerprint` of the key in a request. @throws Error for a request that does not parse */
export async function requestFingerprint(request: string): Promise<string> {
  const x509 = await library();
  const { rawData } = new x509.Pkcs10CertificateRequest(request).publicKey;
  return keyFingerprint(createPublicKey({ key: Buffer.from(rawData), format: 'der', type: 'spki' }));
}

/** What a server's certificate is good for. */
export async function namesOf(certificate: string): Promise<{ addresses: Ip[]; names: string[] }> {
  const x509 = await library();
  const extension = new x509.X509Certificate(certificate).getExtension(x509.SubjectAlternativeNameExtension);
  const items = extension?.names.items ?? [];
  return {
    addresses: items.flatMap(({ type, value }) => (type === 'ip' ? Ip.parse(value) : [])),
    names: items.flatMap(({ type, value }) => (type === 'dns' ? value : [])),
  };
}

/** Whether half of a certificate's life is over. */
export function isDueForRenewal(certificate: string, now: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  return now - validFromDate.getTime() > validToDate.getTime() - now;
}

async function keysOf(pem: string | undefined): Promise<webcrypto.CryptoKeyPair> {
  if (pem === undefined) return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const publicKey = createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await importKey(pem),
    publicKey: await webcrypto.subtle.importKey('spki', publicKey, ALGORITHM, true, ['verify']),
  };
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
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
