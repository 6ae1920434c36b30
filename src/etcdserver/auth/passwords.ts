/**
 * Passwords are kept as scrypt hashes (RFC 7914) with a salt of their own; etcd uses bcrypt, which Node lacks.
 *
 * Hashing takes time in the same threads that bring our writes to the disk, and any client may ask for it. So only
 * few hashes are made at once, and when many wait, the next is refused.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { refusal } from '../errors.ts';

export interface PasswordHash {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** 16 MiB of memory and some 50 ms per guess. */
const COST = { N: 16384, r: 8, p: 1 } as const;
const HASH_BYTES = 32;
const SALT_BYTES = 16;
/** Of the four threads that Node has for such work. */
const AT_ONCE = 2;
/** Some seconds of work. */
const MOST_WAITING = 100;

export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @throws RpcError when too many wait already */
  async hash(password: string): Promise<PasswordHash> {
    const salt = randomBytes(SALT_BYTES);
    return { salt, hash: await this.#inTurn(() => derive(password, salt)) };
  }

  /**
   * Takes as long for a user that does not exist (`known` undefined) as for one that does.
   * @throws RpcError when too many wait already
   */
  async match(password: string, known: PasswordHash | undefined): Promise<boolean> {
    const salt = known?.salt ?? randomBytes(SALT_BYTES);
    const hash = await this.#inTurn(() => derive(password, salt));
    return known !== undefined && timingSafeEqual(hash, known.hash);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length >= MOST_WAITING) throw refusal('tooManyRequests');
    if (this.#running >= AT_ONCE) await new Promise<void>(resolve => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The place is handed to the next in line, so that a new caller does not overtake it.
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

function derive(password: string, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    scrypt(password, salt, HASH_BYTES, COST, (error, key) => (error === null ? resolve(key) : reject(error))),
  );
}
