/**
 * What a host's certificate allows: to read everything, and to write one lease, its own. A lease is its own when
 * the value says so (`TulleHost` is the host id in the certificate) both before and after the write. A subnet that
 * was reserved (a key without a store lease and without an owner) may be claimed from the address it is for.
 */
import { posix } from 'node:path';
import type { Guard, GuardedWrite } from '../store/server/guard.ts';
import { decodeAttributes } from '../subnet/attributes.ts';
import { ORGANIZATION } from './authority.ts';

export class HostGuard implements Guard {
  readonly organization = ORGANIZATION.host;
  readonly #subnets: Uint8Array;

  /** @param prefix root of the network's keys: `/coreos.com/network` */
  constructor(prefix: string) {
    this.#subnets = new TextEncoder().encode(posix.join(prefix, 'subnets/'));
  }

  allows({ name: hostId, address, key, current, next }: GuardedWrite): boolean {
    if (!this.#subnets.every((byte, index) => key[index] === byte)) return false;
    if (next !== undefined && ownerOf(next)?.hostId !== hostId) return false;
    if (current === undefined) return true;
    const owner = ownerOf(current.value);
    if (owner?.hostId !== undefined) return owner.hostId === hostId;
    const reservedFor = current.lease === 0n ? owner?.publicIp : undefined;
    return next !== undefined && reservedFor !== undefined && reservedFor === address;
  }
}

/** What a lease says about its owner; undefined for a value that is no lease. */
function ownerOf(value: Uint8Array) {
  try {
    const { hostId, publicIp } = decodeAttributes(value);
    return { hostId, publicIp: publicIp?.toString() };
  } catch {
    return undefined;
  }
}
