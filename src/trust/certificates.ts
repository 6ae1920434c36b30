/** The certificates that this host has, those of the store that it keeps included: until when each is good. */
import { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { isOwnStore, readJoined, trustFiles } from './host-trust.ts';
import type { Joined } from './join-client.ts';
import { keepOwnHost } from './own-host.ts';
import { renewHost } from './rotation.ts';
import { StoreTrust } from './store-trust.ts';

export interface CertificateFacts {
  /** What it is for: `authority`, `store`, `administrator`, `host`. */
  readonly of: string;
  /** A host's id, and its name where it is known. */
  readonly hostId?: string;
  readonly name?: string;
  /** Absent where the certificate is kept by another host. */
  readonly file?: string;
  /** ISO 8601, UTC. */
  readonly expiresAt: string;
}

export interface TrustDirectories {
  readonly stateDirectory: string;
  readonly dataDir: string;
}

/** @throws TrustError for what is damaged */
export async function listCertificates(
  { stateDirectory, dataDir }: TrustDirectories,
  clock: Clock,
): Promise<CertificateFacts[]> {
  const joined = await readJoined(stateDirectory);
  const trust = await StoreTrust.open(dataDir, clock);
  return [
    ...(trust === undefined ? [] : await ofStore(trust)),
    ...(joined === undefined ? [] : ofHost(stateDirectory, joined)),
    ...(trust === undefined ? [] : await ofOthers(trust, joined?.hostId)),
  ];
}

async function ofStore({ authority }: StoreTrust): Promise<CertificateFacts[]> {
  const found = await authority.certificates();
  return found.map(({ of, file, certificate }) => ({ of, file, expiresAt: endOf(certificate) }));
}

/** Its own, and that of the authority which it trusts. */
function ofHost(stateDirectory: string, joined: Joined): CertificateFacts[] {
  const { certFile, caFile } = trustFiles(stateDirectory, joined);
  return [
    {
      of: 'host',
      hostId: joined.hostId,
      name: hostname(),
      file: certFile,
      expiresAt: endOf(joined.certificate),
    },
    { of: 'authority', file: caFile, expiresAt: endOf(joined.authority) },
  ];
}

async function ofOthers({ hosts }: StoreTrust, own: string | undefined): Promise<CertificateFacts[]> {
  const others = (await hosts.list()).filter(({ hostId }) => hostId !== own);
  return others.map(({ key: _key, ...host }) => ({ of: 'host', ...host }));
}

/**
 * Renews every certificate of this host now.
 * @returns the files that were written; none where there is no certificate. @throws TrustError
 */
export async function renewCertificates(
  { stateDirectory, dataDir }: TrustDirectories,
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  const always = () => true;
  const joined = await readJoined(stateDirectory);
  const trust = await StoreTrust.open(dataDir, clock);
  const written = (await trust?.authority.renew(always)) ?? [];
  if (joined === undefined) return written;
  if (trust !== undefined && isOwnStore(joined)) {
    const host = { stateDirectory, hostId: joined.hostId, endpoint: joined.endpoint };
    return [...written, ...(await keepOwnHost(trust, host, clock.now(), always))];
  }
  return [...written, ...(await renewHost(stateDirectory, clock.now(), signal, { isDue: always }))];
}

const endOf = (certificate: string) => new X509Certificate(certificate).validToDate.toISOString();
