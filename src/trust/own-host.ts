/** The certificate of the host that keeps the store: signed on the spot, whatever became of the one it had. */
import { hostname } from 'node:os';
import { ORGANIZATION } from './authority.ts';
import { readHostKey, readJoined, saveJoined, trustFiles, whyUseless } from './host-trust.ts';
import type { StoreTrust } from './store-trust.ts';
import { isDueForRenewal, makeRequest } from './x509.ts';

export interface OwnHost {
  readonly stateDirectory: string;
  readonly hostId: string;
  /** `https://127.0.0.1:PORT` */
  readonly endpoint: string;
}

/**
 * Sees to it that this host has a good certificate: one that is missing, damaged, due, of another authority, or kept
 * with another way to the store is made anew.
 * @returns the files that were written
 */
export async function keepOwnHost(
  trust: StoreTrust,
  { stateDirectory, hostId, endpoint }: OwnHost,
  now: number,
  isDue = (certificate: string) => isDueForRenewal(certificate, now),
): Promise<string[]> {
  const { prefix } = trust.site;
  const { certFile, caFile } = trustFiles(stateDirectory, { endpoint, prefix });
  const { fingerprint, certificate: authority } = trust.authority;
  const known = await readJoined(stateDirectory).catch(() => undefined);
  const isGood =
    known !== undefined &&
    known.endpoint === endpoint &&
    known.prefix === prefix &&
    known.authority === authority &&
    whyUseless(known, { hostId, fingerprint }, now) === undefined &&
    !isDue(known.certificate);
  if (isGood) return [];
  const subject = { commonName: hostId, organization: ORGANIZATION.host };
  const { request, key } = await makeRequest(subject, await readHostKey(stateDirectory));
  const answer = await trust.certifyHost({ hostId, name: hostname(), request });
  await saveJoined(stateDirectory, { ...answer, key, endpoint });
  return [certFile, caFile];
}
