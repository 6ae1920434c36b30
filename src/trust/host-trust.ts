/**
 * What a host keeps after it joined a store: its certificate and the way to the store.
 *
 *     <state-dir>/trust/ca.pem             the authority
 *     <state-dir>/trust/host.pem, host-key.pem
 *     <state-dir>/trust/store.json         {"version":1,"endpoint":"https://192.168.65.3:2379","prefix":"/coreos.com/network","token":"<id>"}
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { readKeyed, writeKeyed } from './authority.ts';
import { TrustError } from './errors.ts';
import type { Joined } from './join-client.ts';
import { StoreTrust } from './store-trust.ts';
import { TokenId } from './token.ts';
import { keyFingerprint } from './x509.ts';

const StoreFile = v.object({
  version: v.literal(1),
  endpoint: v.pipe(v.string(), v.startsWith('https://')),
  prefix: v.string(),
  token: v.exactOptional(TokenId),
});

/** Paths for opening a connection to the store. */
export interface HostTrust {
  readonly endpoint: string;
  readonly prefix: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** More certificates of this host whose end is watched. */
  readonly certificates?: readonly string[];
}

export async function saveJoined(stateDirectory: string, joined: Joined): Promise<HostTrust> {
  const directory = directoryOf(stateDirectory);
  const { endpoint, prefix, token } = joined;
  await writeKeyed(directory, 'host', joined);
  await writeFileAtomic(join(directory, 'ca.pem'), joined.authority);
  // Last: a host that has this file has joined.
  await writeFileAtomic(
    join(directory, 'store.json'),
    `${JSON.stringify({ version: 1, endpoint, prefix, token })}\n`,
  );
  return trustFiles(stateDirectory, joined);
}

/** Where a host that has joined keeps what it has. */
export function trustFiles(
  stateDirectory: string,
  { endpoint, prefix }: Pick<Joined, 'endpoint' | 'prefix'>,
): HostTrust {
  const directory = directoryOf(stateDirectory);
  return {
    endpoint,
    prefix,
    caFile: join(directory, 'ca.pem'),
    certFile: join(directory, 'host.pem'),
    keyFile: join(directory, 'host-key.pem'),
  };
}

/** undefined for a host that has not joined. @throws TrustError for damaged files */
export async function readJoined(stateDirectory: string): Promise<Joined | undefined> {
  const directory = directoryOf(stateDirectory);
  const store = await readStore(join(directory, 'store.json'));
  if (store === undefined) return undefined;
  const keyed = await readKeyed(directory, 'host');
  if (keyed === undefined) {
    throw new TrustError('NO_CERTIFICATE', `the certificate of this host is missing from ${directory}`, {
      hint: 'join again: `tulle up --join TOKEN`',
    });
  }
  const hostId = hostIdIn(keyed.certificate);
  return { ...store, ...keyed, hostId, authority: await readFile(join(directory, 'ca.pem'), 'utf8') };
}

/** The key that this host has, also when the rest is damaged: it proves to the store that this is the same host. */
export async function readHostKey(stateDirectory: string): Promise<string | undefined> {
  const pem = await readFile(join(directoryOf(stateDirectory), 'host-key.pem'), 'utf8').catch(
    () => undefined,
  );
  try {
    return pem && createPrivateKey(pem) && pem;
  } catch {
    return undefined;
  }
}

const hostIdIn = (certificate: string) =>
  /^CN=(?<id>.*)$/m.exec(new X509Certificate(certificate).subject)?.groups?.['id'] ?? '';

/** Whether the store is on this very host: the first host of a network goes there by loopback. */
export function isOwnStore({ endpoint }: Pick<Joined, 'endpoint'>): boolean {
  return new URL(endpoint).hostname === '127.0.0.1';
}

/** The way to the store for a host that has joined; undefined for any other, or when the files are not readable. */
export async function findHostTrust(stateDirectory: string): Promise<HostTrust | undefined> {
  const file = join(directoryOf(stateDirectory), 'store.json');
  const store = await readStore(file).catch(() => undefined);
  return store && trustFiles(stateDirectory, store);
}

/**
 * The best way to the store that this machine has by itself: as the administrator where the store is kept, else as
 * the host that joined.
 */
export async function findOwnTrust(stateDirectory: string, dataDir: string): Promise<HostTrust | undefined> {
  const host = await findHostTrust(stateDirectory);
  const keepsStore =
    host !== undefined && (await StoreTrust.open(dataDir, systemClock).catch(() => undefined));
  if (!keepsStore) return host;
  const { admin } = keepsStore.authority.files;
  return { ...host, certFile: admin.certificate, keyFile: admin.key };
}

/**
 * Why this is no certificate to show to the store of `authority` (SHA-256 of its key, hex) as the host `hostId`;
 * undefined when it is one. By the clock of this host.
 */
export function whyUseless(
  { certificate, authority, key }: Pick<Joined, 'certificate' | 'authority' | 'key'>,
  wanted: { readonly hostId: string; readonly fingerprint: string },
  now: number,
): string | undefined {
  const own = new X509Certificate(certificate);
  const issuer = new X509Certificate(authority);
  if (keyFingerprint(issuer.publicKey) !== wanted.fingerprint || !own.verify(issuer.publicKey)) {
    return 'it is of another authority';
  }
  if (hostIdIn(certificate) !== wanted.hostId) return 'it is of another host';
  if (!own.checkPrivateKey(createPrivateKey(key))) return 'its key is another';
  const ends = [own, issuer].map(({ validToDate }) => validToDate).find(end => end.getTime() <= now);
  return ends && `it has expired on ${ends.toISOString()}`;
}

const directoryOf = (stateDirectory: string) => join(stateDirectory, 'trust');

async function readStore(path: string) {
  try {
    const { version: _version, ...store } = v.parse(StoreFile, JSON.parse(await readFile(path, 'utf8')));
    return store;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw new TrustError('NO_CERTIFICATE', `${path} cannot be read: ${messageOf(error)}`, {
      hint: 'join again: `tulle up --join TOKEN`',
      cause: error,
    });
  }
}
