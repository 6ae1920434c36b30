/** Passwords are kept as scrypt hashes (RFC 7914) with a salt of their own; etcd uses bcrypt, which Node lacks. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

export interface PasswordHash {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** 16 MiB of memory and some 50 ms per guess. */
const COST = { N: 16384, r: 8, p: 1 } as const;
const HASH_BYTES = 32;

export async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = randomBytes(16);
  return { salt, hash: await derive(password, salt) };
}

/** Takes as long for a user that does not exist (`known` undefined) as for one that does. */
export async function passwordMatches(password: string, known: PasswordHash | undefined): Promise<boolean> {
  const hash = await derive(password, known?.salt ?? randomBytes(16));
  return known !== undefined && timingSafeEqual(hash, known.hash);
}

function derive(password: string, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    scrypt(password, salt, HASH_BYTES, COST, (error, key) => (error === null ? resolve(key) : reject(error))),
  );
}
