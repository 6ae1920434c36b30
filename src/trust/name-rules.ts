/**
 * What a host's certificate allows below `names/`: how its own containers are called.
 *
 *     put       names that name it as their host, on a store lease, for an address that can be its container's: of an L2
 *               network that there is, where no other host has this endpoint; on the overlay, of its own subnet
 *     delete    what is its own
 */
import { ParseError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import type { ProposedWrite, RestrictedCaller } from '../etcdserver/auth/authorizer.ts';
import { parseNameKey } from '../subnet/names/name-key.ts';
import { decodeNames, tryDecodeNames } from '../subnet/names/name-value.ts';

/** Over all networks: an address of each family for as many containers as a host can have endpoints, and on the overlay. */
const MOST_ADDRESSES = 16_384;

/** Why an address cannot be that of a container of a host, if it cannot. */
export type AddressProblem = (hostId: string, network: string, ip: Ip) => string | undefined;

export class NameRules {
  /** By key below `names/`: whose it is. */
  readonly #owners = new Map<string, string>();
  /** Host -> how many. */
  readonly #counts = new Map<string, number>();
  readonly #addressProblem: AddressProblem;

  constructor(addressProblem: AddressProblem) {
    this.#addressProblem = addressProblem;
  }

  clear(): void {
    this.#owners.clear();
    this.#counts.clear();
  }

  /** @param key below `names/`, as all here; @param value undefined when it is deleted */
  take(key: string, value: Uint8Array | undefined): void {
    const before = this.#owners.get(key);
    if (before !== undefined) this.#count(before, -1);
    this.#owners.delete(key);
    const parsed = parseNameKey(key);
    const named = parsed && value && tryDecodeNames(parsed, value);
    if (named === undefined) return;
    this.#owners.set(key, named.hostId);
    this.#count(named.hostId, 1);
  }

  owns(hostId: string, key: string): boolean {
    return this.#owners.get(key) === hostId;
  }

  /** Why this caller may not do these writes, which happen together. */
  refuses(
    caller: RestrictedCaller,
    writes: readonly (Pick<ProposedWrite, 'next'> & { readonly key: string })[],
  ): string | undefined {
    let added = 0;
    for (const { key, next } of writes) {
      const owner = this.#owners.get(key);
      if (owner !== undefined && owner !== caller.name) return `${key} has names of another host`;
      if (next === undefined) continue;
      const wrong = this.#putProblem(caller, key, next);
      if (wrong !== undefined) return wrong;
      if (owner === undefined) added++;
    }
    const count = (this.#counts.get(caller.name) ?? 0) + added;
    return added > 0 && count > MOST_ADDRESSES
      ? `a host may have names for ${MOST_ADDRESSES} addresses`
      : undefined;
  }

  #putProblem(
    { name }: RestrictedCaller,
    key: string,
    { value, lease }: { readonly value: Uint8Array; readonly lease: bigint },
  ): string | undefined {
    const parsed = parseNameKey(key);
    if (parsed === undefined) return `${key} is no key of names`;
    try {
      const { hostId } = decodeNames(parsed, value);
      if (hostId !== name) return `it names the host ${hostId}, but the certificate ${name}`;
    } catch (error) {
      if (error instanceof ParseError) return error.message;
      throw error;
    }
    if (lease === 0n) return 'names of containers must be on a store lease';
    return this.#addressProblem(name, parsed.network, parsed.ip);
  }

  #count(hostId: string, step: 1 | -1): void {
    const count = (this.#counts.get(hostId) ?? 0) + step;
    if (count > 0) this.#counts.set(hostId, count);
    else this.#counts.delete(hostId);
  }
}
