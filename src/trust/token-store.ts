/**
 * The tokens a store accepts: one file per token, in a directory beside its database. The command line makes and
 * removes files and the running store reads them at every use, so a revoked token is refused at once. No
 * file is changed by two processes, so there is nothing to lock. Secrets are kept as hashes: they are 128 random bits,
 * so a plain hash is enough.
 *
 *     <directory>/<id>.json   {"version":1,"hash":"<SHA-256 of the secret>","createdAt":"...","expiresAt":"...","hostId":"..."}
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { TrustError } from './errors.ts';
import { HostId } from './join.ts';
import { hexText, newTokenSecret, type Token, TokenId } from './token.ts';

const TokenFile = v.object({
  version: v.literal(1),
  hash: hexText(32),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  expiresAt: v.pipe(v.string(), v.isoTimestamp()),
  hostId: v.exactOptional(HostId),
});

export interface TokenEntry {
  /** 12 hex digits. */
  readonly id: string;
  /** SHA-256 of the secret, hex. */
  readonly hash: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly expiresAt: string;
  /** The only host that it lets in, whether that has a certificate already or not; absent: any that has none. */
  readonly hostId?: string;
}

export class TokenStore {
  readonly #directory: string;
  readonly #clock: Clock;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Tokens that are still good, the oldest first. @throws TrustError when a file is damaged */
  async list(): Promise<readonly TokenEntry[]> {
    const entries = await Promise.all((await this.#ids()).map(id => this.#read(id)));
    return entries
      .filter(entry => entry !== undefined)
      .filter(entry => this.#isGood(entry))
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id));
  }

  /**
   * A new token, good for `lifetime` milliseconds, for one host or for any number of new ones. Those that have expired
   * are removed.
   */
  async create(lifetime: number, hostId?: string): Promise<Pick<Token, 'id' | 'secret'>> {
    await this.#removeExpired();
    const token = newTokenSecret();
    const now = this.#clock.now();
    const file: v.InferInput<typeof TokenFile> = {
      version: 1,
      hash: hashOf(token.secret),
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + lifetime).toISOString(),
      ...(hostId !== undefined && { hostId }),
    };
    await writeFileAtomic(this.#fileOf(token.id), `${JSON.stringify(file)}\n`, {
      mode: 0o600,
      directoryMode: 0o700,
    });
    return token;
  }

  /** Whether there was such a token. */
  async revoke(id: string): Promise<boolean> {
    if (!v.is(TokenId, id)) return false;
    try {
      await unlink(this.#fileOf(id));
      return true;
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** The token with this secret, while it is good. @throws TrustError when its file is damaged */
  async find({ id, secret }: Pick<Token, 'id' | 'secret'>): Promise<TokenEntry | undefined> {
    const entry = await this.#read(id);
    if (entry === undefined || !this.#isGood(entry)) return undefined;
    return timingSafeEqual(Buffer.from(entry.hash), Buffer.from(hashOf(secret))) ? entry : undefined;
  }

  #isGood({ expiresAt }: TokenEntry): boolean {
    return Date.parse(expiresAt) > this.#clock.now();
  }

  #fileOf(id: string): string {
    return join(this.#directory, `${id}.json`);
  }

  async #ids(): Promise<string[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (isCode(error, 'ENOENT')) return [];
      throw error;
    });
    return names.flatMap(name => /^([^.]+)\.json$/.exec(name)?.[1] ?? []);
  }

  async #removeExpired(): Promise<void> {
    for (const id of await this.#ids()) {
      // A damaged one is no reason not to make another; `list` complains about it.
      const entry = await this.#read(id).catch(() => undefined);
      if (entry !== undefined && !this.#isGood(entry)) await this.revoke(id);
    }
  }

  async #read(id: string): Promise<TokenEntry | undefined> {
    // An id comes from outside; what is none could name another file.
    if (!v.is(TokenId, id)) return undefined;
    try {
      const { version: _, ...rest } = v.parse(
        TokenFile,
        JSON.parse(await readFile(this.#fileOf(id), 'utf8')),
      );
      return { id, ...rest };
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw new TrustError('TOKEN_REFUSED', `the token ${id} cannot be read: ${messageOf(error)}`, {
        hint: `remove ${this.#fileOf(id)}, and make a new token`,
        cause: error,
      });
    }
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
