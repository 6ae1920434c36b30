/** Tokens of Authenticate: random, in memory only, each alive as long as it is used. A client asks for a new one. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';

/** etcd's time to live of a simple token. */
const TTL_MS = 300_000;
/** Tokens are swept when this many have been issued since the last time. */
const SWEEP_EVERY = 1000;

interface Token {
  readonly user: string;
  /** Monotonic milliseconds. */
  expiresAt: number;
}

export class Tokens {
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token>();
  #issued = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tokens in memory, also expired ones that have not been swept yet. */
  get size(): number {
    return this.#tokens.size;
  }

  issue(user: string): string {
    if (++this.#issued % SWEEP_EVERY === 0) this.#sweep();
    const token = randomBytes(24).toString('base64url');
    this.#tokens.set(token, { user, expiresAt: this.#clock.monotonic() + TTL_MS });
    return token;
  }

  /** The user the token was issued to; the token lives on. */
  userOf(token: string): string | undefined {
    const found = this.#tokens.get(token);
    if (found === undefined) return undefined;
    const now = this.#clock.monotonic();
    if (found.expiresAt <= now) {
      this.#tokens.delete(token);
      return undefined;
    }
    found.expiresAt = now + TTL_MS;
    return found.user;
  }

  /** Forgets the tokens of one user, or all. */
  revoke(user?: string): void {
    for (const [token, { user: owner }] of this.#tokens) {
      if (user === undefined || owner === user) this.#tokens.delete(token);
    }
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    for (const [token, { expiresAt }] of this.#tokens) if (expiresAt <= now) this.#tokens.delete(token);
  }
}
