/** Certificates as hosts have them, in files of a directory, for tests of what they say to each other. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { CredentialReader, joinedFiles } from '../../src/api/peer/credentials.ts';
import { ORGANIZATION } from '../../src/trust/authority.ts';
import { type KeyedCertificate, makeAuthority, makeRequest, signRequest } from '../../src/trust/x509.ts';

const DAY = 86_400_000;

export interface CertifiedHost {
  readonly hostId: string;
  /** State directory. */
  readonly directory: string;
  readonly credentials: CredentialReader;
}

export interface CertificateWishes {
  readonly hostId?: string;
  readonly organization?: string;
  /** Days from now on which it was made; it is good for a year. */
  readonly madeIn?: number;
  /** Whom it shows itself with; default is the authority that it trusts. */
  readonly signedBy?: KeyedCertificate;
  /** Files to be written anew. */
  readonly directory?: string;
}

/** An authority, and a way to make hosts of it whose files are gone with the test. */
export async function hostAuthority(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'tulle-hosts-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  // Two years old, so that it can have signed what has expired.
  const authority = await makeAuthority(Date.now() - 730 * DAY);
  const certify = async (wishes: CertificateWishes = {}): Promise<CertifiedHost> => {
    const {
      hostId = randomUUID(),
      organization = ORGANIZATION.host,
      madeIn = 0,
      signedBy = authority,
    } = wishes;
    const directory = wishes.directory ?? join(root, randomUUID());
    const subject = { commonName: hostId, organization };
    const { request, key } = await makeRequest(subject);
    const now = Date.now() + madeIn * DAY;
    const certificate = await signRequest(signedBy, request, subject, { use: 'client' }, now);
    const { caFile, certFile, keyFile } = joinedFiles(directory);
    mkdirSync(join(directory, 'trust'), { recursive: true });
    writeFileSync(caFile, authority.certificate);
    writeFileSync(keyFile, key);
    writeFileSync(certFile, certificate);
    return { hostId, directory, credentials: new CredentialReader(joinedFiles(directory)) };
  };
  return { authority, certify, root };
}
