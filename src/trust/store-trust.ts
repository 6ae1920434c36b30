/**
 * Everything about trust that a store keeps beside its database: the authority, the tokens, and what tokens say.
 *
 *     <data-dir>/pki/*.pem       certificates (authority.ts)
 *     <data-dir>/pki/site.json   {"version":1,"address":"192.168.65.3:2379","prefix":"/coreos.com/network"}
 *     <data-dir>/tokens/*.json   tokens (token-store.ts)
 *     <data-dir>/hosts/*.json    which hosts have a certificate (certified-hosts.ts)
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Authorizer } from '../etcdserver/auth/authorizer.ts';
import type { Enrollment } from '../etcdserver/http/http-server.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { Admission } from './admission.ts';
import { Authority, type StoreNames } from './authority.ts';
import { CertifiedHosts } from './certified-hosts.ts';
import { TrustError } from './errors.ts';
import { HostAuthorizer } from './host-authorizer.ts';
import { JOIN_PATH, type JoinAnswer, type JoinRequest } from './join.ts';
import { joinServer } from './join-server.ts';
import { formatToken } from './token.ts';
import { TokenStore } from './token-store.ts';
import { requestFingerprint } from './x509.ts';

const SiteFile = v.object({
  version: v.literal(1),
  /** HOST:PORT that other hosts reach the store at. */
  address: v.string(),
  prefix: v.string(),
});

export interface StoreSite {
  readonly address: string;
  readonly prefix: string;
}

export class StoreTrust {
  readonly authority: Authority;
  readonly tokens: TokenStore;
  readonly hosts: CertifiedHosts;
  readonly site: StoreSite;

  private constructor(dataDir: string, authority: Authority, site: StoreSite, clock: Clock) {
    this.authority = authority;
    this.tokens = new TokenStore(join(dataDir, 'tokens'), clock);
    this.hosts = new CertifiedHosts(join(dataDir, 'hosts'));
    this.site = site;
  }

  /** What is kept in a data directory, or undefined when nothing is. @throws TrustError for damaged files */
  static async open(dataDir: string, clock: Clock): Promise<StoreTrust | undefined> {
    const authority = await Authority.open(pkiOf(dataDir), clock);
    if (authority === undefined) return undefined;
    return new StoreTrust(dataDir, authority, await readSite(siteOf(dataDir)), clock);
  }

  /**
   * Makes an authority where there is none; otherwise keeps it, renews what is due, and sees to it that the store's
   * certificate covers these names. Tokens made from now on say `site.address`.
   */
  static async init(dataDir: string, site: StoreSite, names: StoreNames, clock: Clock): Promise<StoreTrust> {
    const known = await Authority.open(pkiOf(dataDir), clock);
    const authority = known ?? (await Authority.create(pkiOf(dataDir), names, clock));
    await authority.renew();
    if (!(await authority.coversStore(names))) await authority.certifyStore(names);
    await writeFileAtomic(siteOf(dataDir), `${JSON.stringify({ version: 1, ...site })}\n`);
    return new StoreTrust(dataDir, authority, site, clock);
  }

  /** A join token, as text, good for `lifetime` milliseconds; for one host when its id is given. */
  async createToken(lifetime: number, hostId?: string): Promise<string> {
    const token = await this.tokens.create(lifetime, hostId);
    return formatToken({ ...token, fingerprint: this.authority.fingerprint, address: this.site.address });
  }

  /** Signs a host's request, and writes down for which key. @throws Error for a request that is malformed */
  async certifyHost({ hostId, name, request }: Omit<JoinRequest, 'token'>): Promise<JoinAnswer> {
    const certificate = await this.authority.certifyHost(request, hostId);
    const called = name ?? (await this.hosts.find(hostId))?.name;
    await this.hosts.write({
      hostId,
      key: await requestFingerprint(request),
      expiresAt: new X509Certificate(certificate).validToDate.toISOString(),
      ...(called !== undefined && { name: called }),
    });
    const { certificate: authority } = this.authority;
    return { certificate, authority, hostId, prefix: this.site.prefix };
  }

  /** What makes a store server let hosts in, and hold each to its own lease. */
  extension(log: Logger): { readonly authorizer: Authorizer; readonly enrollment: Enrollment } {
    const serve = joinServer(new Admission(this, log), log);
    return { authorizer: new HostAuthorizer(this.site.prefix), enrollment: { path: JOIN_PATH, serve } };
  }
}

const pkiOf = (dataDir: string) => join(dataDir, 'pki');
const siteOf = (dataDir: string) => join(pkiOf(dataDir), 'site.json');

async function readSite(path: string): Promise<StoreSite> {
  try {
    const { address, prefix } = v.parse(SiteFile, JSON.parse(await readFile(path, 'utf8')));
    return { address, prefix };
  } catch (error) {
    const missing = isCode(error, 'ENOENT');
    throw new TrustError(
      'NO_CERTIFICATE',
      `${path} ${missing ? 'is missing' : `is damaged: ${messageOf(error)}`}`,
      {
        hint: 'run `tulle store init` again; it keeps the authority and writes the file again',
        cause: error,
      },
    );
  }
}
