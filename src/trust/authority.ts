/**
 * The certificate authority of one store: who may talk to it, and as whom. A certificate's organization says what
 * its owner may do, its common name who it is.
 *
 *     tulle:store   the store itself
 *     tulle:host    a host, by its host id: reads everything, writes its own lease
 *     tulle:admin   a person with etcdctl: everything
 *
 * Files, in one directory of mode 0700: ca.pem, ca-key.pem, server.pem, server-key.pem, admin.pem, admin-key.pem.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isCode } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { TrustError } from './errors.ts';
import {
  type KeyedCertificate,
  makeAuthority,
  makeRequest,
  type Purpose,
  type Subject,
  signRequest,
} from './x509.ts';

export const ORGANIZATION = { store: 'tulle:store', host: 'tulle:host', admin: 'tulle:admin' } as const;

/** What the store is reached at. */
export interface StoreNames {
  readonly addresses: readonly Ip[];
  readonly names: readonly string[];
}

export class Authority {
  readonly #directory: string;
  readonly #keyed: KeyedCertificate;
  readonly #clock: Clock;

  private constructor(directory: string, keyed: KeyedCertificate, clock: Clock) {
    this.#directory = directory;
    this.#keyed = keyed;
    this.#clock = clock;
  }

  /** The authority kept in `directory`, or undefined when there is none. @throws TrustError for a damaged one */
  static async open(directory: string, clock: Clock): Promise<Authority | undefined> {
    const keyed = await readKeyed(directory, 'ca');
    return keyed && new Authority(directory, keyed, clock);
  }

  /** A new authority, with certificates for the store and for its administrator. */
  static async create(directory: string, store: StoreNames, clock: Clock): Promise<Authority> {
    const authority = new Authority(directory, await makeAuthority(clock.now()), clock);
    await authority.certifyStore(store);
    const admin = await authority.#issue(
      { commonName: 'root', organization: ORGANIZATION.admin },
      { use: 'client' },
    );
    await writeKeyed(directory, 'admin', admin);
    // Last: an authority that is there is complete.
    await writeKeyed(directory, 'ca', authority.#keyed);
    return authority;
  }

  /** PEM. */
  get certificate(): string {
    return this.#keyed.certificate;
  }

  /** SHA-256 of the certificate, lower-case hex. */
  get fingerprint(): string {
    return fingerprintOf(new X509Certificate(this.#keyed.certificate));
  }

  /** Paths for whoever wants files: the store's flags, etcdctl. */
  get files() {
    const path = (name: string) => join(this.#directory, name);
    return {
      authority: path('ca.pem'),
      server: { certificate: path('server.pem'), key: path('server-key.pem') },
      admin: { certificate: path('admin.pem'), key: path('admin-key.pem') },
    };
  }

  /** Makes the store's own certificate anew; it is sent together with the authority's, for those who join. */
  async certifyStore({ addresses, names }: StoreNames): Promise<void> {
    const subject = { commonName: 'tulle store', organization: ORGANIZATION.store };
    const { certificate, key } = await this.#issue(subject, { use: 'server', addresses, names });
    await writeKeyed(this.#directory, 'server', {
      certificate: `${certificate.trimEnd()}\n${this.certificate}`,
      key,
    });
  }

  /** Whether the store's certificate is there, is valid for the next year, and covers these addresses and names. */
  async coversStore({ addresses, names }: StoreNames): Promise<boolean> {
    const keyed = await readKeyed(this.#directory, 'server');
    if (keyed === undefined) return false;
    const certificate = new X509Certificate(keyed.certificate);
    const yearAhead = this.#clock.now() + 365 * 86_400_000;
    return (
      certificate.validToDate.getTime() > yearAhead &&
      certificate.verify(new X509Certificate(this.certificate).publicKey) &&
      addresses.every(ip => certificate.checkIP(ip.toString()) !== undefined) &&
      names.every(name => certificate.checkHost(name) !== undefined)
    );
  }

  /** Signs a host's request as this host. @throws Error for a request that is malformed */
  certifyHost(request: string, hostId: string): Promise<string> {
    const subject = { commonName: hostId, organization: ORGANIZATION.host };
    return signRequest(this.#keyed, request, subject, { use: 'client' }, this.#clock.now());
  }

  async #issue(subject: Subject, purpose: Purpose): Promise<KeyedCertificate> {
    const { request, key } = await makeRequest(subject);
    return { certificate: await signRequest(this.#keyed, request, subject, purpose, this.#clock.now()), key };
  }
}

/** SHA-256 of a certificate, lower-case hex without colons. */
export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

/** The key first: a certificate without its key would be no use to anybody. */
export async function writeKeyed(
  directory: string,
  name: string,
  { certificate, key }: KeyedCertificate,
): Promise<void> {
  await writeFileAtomic(join(directory, `${name}-key.pem`), key, { mode: 0o600, directoryMode: 0o700 });
  await writeFileAtomic(join(directory, `${name}.pem`), certificate, { directoryMode: 0o700 });
}

/** undefined when neither file is there. @throws TrustError when only one is, or one is damaged */
export async function readKeyed(directory: string, name: string): Promise<KeyedCertificate | undefined> {
  const read = (file: string) =>
    readFile(join(directory, file), 'utf8').catch((error: unknown) => {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    });
  const certificate = await read(`${name}.pem`);
  const key = await read(`${name}-key.pem`);
  if (certificate === undefined) return undefined;
  if (key === undefined || !isCertificate(certificate)) {
    throw new TrustError(
      'NO_CERTIFICATE',
      `the certificate ${join(directory, `${name}.pem`)} or its key is damaged`,
      {
        hint: `restore both from a backup, or remove ${directory} and begin anew`,
      },
    );
  }
  return { certificate, key };
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== '';
  } catch {
    return false;
  }
}
