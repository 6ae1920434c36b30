/**
 * The tokens a store accepts, in one file beside its database. The command line writes it and the running store
 * reads it at every use, so a revoked token is refused at once. Secrets are kept as hashes: they are 128 random
 * bits, so a plain hash is enough.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { isCode, messageOf } from '../base/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { TrustError } from './errors.ts';
import { newTokenSecret, type Token } from './token.ts';

const hex = (digits: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${digits}}$`)));
const Entry = v.object({
  id: hex(12),
  hash: hex(64),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  expiresAt: v.pipe(v.string(), v.isoTimestamp()),
});
const Book = v.object({ version: v.literal(1), tokens: v.array(Entry) });

export type TokenEntry = v.InferOutput<typeof Entry>;

export class TokenBook {
  readonly #path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Tokens that are still good, the oldest first. @throws TrustError when the file is damaged */
  async list(): Promise<readonly TokenEntry[]> {
    const now = this.#clock.now();
    return (await this.#read()).filter(entry => Date.parse(entry.expiresAt) > now);
  }

  /** A new token, good for `lifetime` milliseconds and any number of hosts. */
  async create(lifetime: number): Promise<Pick<Token, 'id' | 'secret'>> {
    const token = newTokenSecret();
    const now = this.#clock.now();
    const entry = {
      id: token.id,
      hash: hashOf(token.secret),
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + lifetime).toISOString(),
    };
    await this.#write([...(await this.list()), entry]);
    return token;
  }

  /** Whether there was such a token. */
  async revoke(id: string): Promise<boolean> {
    const entries = await this.list();
    const rest = entries.filter(entry => entry.id !== id);
    if (rest.length === entries.length) return false;
    await this.#write(rest);
    return true;
  }

  /** Whether this secret belongs to a token that is still good. */
  async accepts({ id, secret }: Pick<Token, 'id' | 'secret'>): Promise<boolean> {
    const entry = (await this.list()).find(one => one.id === id);
    return entry !== undefined && timingSafeEqual(Buffer.from(entry.hash), Buffer.from(hashOf(secret)));
  }

  async #read(): Promise<readonly TokenEntry[]> {
    try {
      return v.parse(Book, JSON.parse(await readFile(this.#path, 'utf8'))).tokens;
    } catch (error) {
      if (isCode(error, 'ENOENT')) return [];
      throw new TrustError('TOKEN_REFUSED', `the list of tokens cannot be read: ${messageOf(error)}`, {
        hint: `remove ${this.#path} and make new tokens`,
        cause: error,
      });
    }
  }

  #write(tokens: readonly TokenEntry[]): Promise<void> {
    return writeFileAtomic(this.#path, `${JSON.stringify({ version: 1, tokens })}\n`, {
      mode: 0o600,
      directoryMode: 0o700,
    });
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
