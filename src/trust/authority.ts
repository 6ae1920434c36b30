/**
 * The certificate authority of one store: who may talk to it, and as whom. A certificate's organization says what
 * its owner may do, its common name who it is.
 *
 *     tulle:store   the store itself
 *     tulle:host    a host, by its host id: reads everything, writes its own lease
 *     tulle:admin   a person with etcdctl: everything
 *
 * Files, in one directory of mode 0700: ca.pem, ca-key.pem, server.pem, server-key.pem, admin.pem, admin-key.pem.
 *
 * Every certificate, the authority's own included, is renewed for the key it has: one file is replaced in one step, and
 * both sides can talk to programs that still have the former one (docs/decisions/0012-certificates.md).
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
  isDueForRenewal,
  type KeyedCertificate,
  keyFingerprint,
  makeAuthority,
  makeRequest,
  namesOf,
  type Purpose,
  type Subject,
  signRequest,
} from './x509.ts';

export const ORGANIZATION = { store: 'tulle:store', host: 'tulle:host', admin: 'tulle:admin' } as const;

const STORE: Subject = { commonName: 'tulle store', organization: ORGANIZATION.store };
const ADMIN: Subject = { commonName: 'root', organization: ORGANIZATION.admin };

/** What the store is reached at. */
export interface StoreNames {
  readonly addresses: readonly Ip[];
  readonly names: readonly string[];
}

/** Whether a certificate (PEM) is to be renewed. */
type IsDue = (certificate: string) => boolean;

export class Authority {
  readonly #directory: string;
  #keyed: KeyedCertificate;
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
    await authority.#certify('admin', ADMIN, { use: 'client' });
    // Last: an authority that is there is complete.
    await writeKeyed(directory, 'ca', authority.#keyed);
    return authority;
  }

  /** PEM. */
  get certificate(): string {
    return this.#keyed.certificate;
  }

  /** SHA-256 of the public key, lower-case hex; it outlives the certificate. */
  get fingerprint(): string {
    return keyFingerprint(new X509Certificate(this.#keyed.certificate).publicKey);
  }

  /** Paths for programs that read files: the store's flags, etcdctl. */
  get files() {
    const path = (name: string) => join(this.#directory, name);
    return {
      authority: path('ca.pem'),
      server: { certificate: path('server.pem'), key: path('server-key.pem') },
      admin: { certificate: path('admin.pem'), key: path('admin-key.pem') },
    };
  }

  /** What there is of its own, with who it is of. */
  async certificates(): Promise<{ of: string; file: string; certificate: string }[]> {
    const { authority, server, admin } = this.files;
    const found = [{ of: 'authority', file: authority, certificate: this.certificate }];
    for (const [of, name, file] of [
      ['store', 'server', server.certificate],
      ['administrator', 'admin', admin.certificate],
    ] as const) {
      const keyed = await readKeyed(this.#directory, name);
      if (keyed !== undefined) found.push({ of, file, certificate: keyed.certificate });
    }
    return found;
  }

  /** Makes the store's own certificate anew; it is sent together with the authority's, for those who join. */
  certifyStore({ addresses, names }: StoreNames): Promise<void> {
    return this.#certify('server', STORE, { use: 'server', addresses, names }, this.certificate);
  }

  /** Whether the store's certificate is there, is of this authority, and covers these addresses and names. */
  async coversStore({ addresses, names }: StoreNames): Promise<boolean> {
    const keyed = await readKeyed(this.#directory, 'server');
    if (keyed === undefined) return false;
    const certificate = new X509Certificate(keyed.certificate);
    return (
      this.hasSigned(keyed.certificate) &&
      addresses.every(ip => certificate.checkIP(ip.toString()) !== undefined) &&
      names.every(name => certificate.checkHost(name) !== undefined)
    );
  }

  /**
   * Renews, by default, what has half of its lifetime behind it: the authority's certificate, the store's, the
   * administrator's.
   * @returns the files that were written
   */
  async renew(isDue: IsDue = pem => isDueForRenewal(pem, this.#clock.now())): Promise<string[]> {
    const { authority, server, admin } = this.files;
    const written: string[] = [];
    await this.#reload();
    const isAuthorityDue = isDue(this.#keyed.certificate);
    if (isAuthorityDue) {
      this.#keyed = await makeAuthority(this.#clock.now(), this.#keyed.key);
      await writeKeyed(this.#directory, 'ca', this.#keyed);
      written.push(authority);
    }
    const store = await readKeyed(this.#directory, 'server');
    // It holds the authority's certificate too.
    if (store !== undefined && (isAuthorityDue || isDue(store.certificate))) {
      await this.certifyStore(await namesOf(store.certificate));
      written.push(server.certificate);
    }
    const person = await readKeyed(this.#directory, 'admin');
    if (person === undefined || isDue(person.certificate) || !this.hasSigned(person.certificate)) {
      await this.#certify('admin', ADMIN, { use: 'client' });
      written.push(admin.certificate);
    }
    return written;
  }

  /** Whether a certificate (PEM) is of this authority. */
  hasSigned(certificate: string): boolean {
    return new X509Certificate(certificate).verify(new X509Certificate(this.certificate).publicKey);
  }

  /** Signs a host's request as this host. @throws Error for a request that is malformed */
  async certifyHost(request: string, hostId: string): Promise<string> {
    await this.#reload();
    const subject = { commonName: hostId, organization: ORGANIZATION.host };
    return signRequest(this.#keyed, request, subject, { use: 'client' }, this.#clock.now());
  }

  /** Another process may have renewed it: a person, with the command. */
  async #reload(): Promise<void> {
    this.#keyed = (await readKeyed(this.#directory, 'ca')) ?? this.#keyed;
  }

  /** A certificate for the key that `name` has, or for a new one where there is none. */
  async #certify(name: string, subject: Subject, purpose: Purpose, issuer = ''): Promise<void> {
    const known = await readKeyed(this.#directory, name);
    const { request, key } = await makeRequest(subject, known?.key);
    const leaf = await signRequest(this.#keyed, request, subject, purpose, this.#clock.now());
    await writeKeyed(this.#directory, name, { certificate: `${leaf.trimEnd()}\n${issuer}`, key });
  }
}

/** The key first: a certificate without its key is useless. */
export async function writeKeyed(
  directory: string,
  name: string,
  { certificate, key }: KeyedCertificate,
): Promise<void> {
  await writeFileAtomic(join(directory, `${name}-key.pem`), key, { mode: 0o600, directoryMode: 0o700 });
  await writeFileAtomic(join(directory, `${name}.pem`), certificate, { directoryMode: 0o700 });
}

/** undefined when there is no certificate. @throws TrustError when its key is missing, or one of them is damaged */
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
        hint: `restore both from a backup, or remove ${directory} and start over`,
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
