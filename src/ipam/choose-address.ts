/** Which address an engine gets that asks for any. */
import type { Family, Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Prefix } from '../base/prefix.ts';
import type { AddressBook, GivenAddress } from './address-book.ts';
import { nextFree } from './next-free.ts';

/** An engine's request: the address is held until the engine releases it, whatever becomes of the container. */
export interface ReserveRequest {
  readonly family: Family;
  /** Absent: any. */
  readonly ip?: Ip;
  readonly mac: Mac;
  readonly container: string;
  /** A lower-case word. */
  readonly engine: string;
  /** Keep it for a container of this name after it is released, as long as there are others. */
  readonly keep?: boolean;
}

export interface AddressRoom {
  /** Of one family, in order; none overlaps another. */
  readonly blocks: readonly Prefix[];
  /** Also for what no container can have. */
  readonly isTaken: (ip: Ip) => boolean;
}

/** The one that is kept for the container, or the next that is kept for none; undefined when there is none. */
export function chooseAddress(
  book: AddressBook,
  { family, container, keep }: ReserveRequest,
  { blocks, isTaken }: AddressRoom,
): Ip | undefined {
  const had = keep === true ? book.keptFor(container, family) : undefined;
  if (had !== undefined && !isTaken(had) && blocks.some(block => block.contains(had))) return had;
  const ip = nextFree(blocks, book.last(family), one => book.isKept(one) || isTaken(one));
  if (ip !== undefined) book.remember(ip);
  return ip;
}

/** One that was kept for another container, the oldest of them, which is kept no longer. */
export function takeKept(
  book: AddressBook,
  family: Family,
  { blocks, isTaken }: AddressRoom,
): Ip | undefined {
  for (const { ip } of book.kept()) {
    if (ip.family !== family || isTaken(ip) || !blocks.some(block => block.contains(ip))) continue;
    book.forget(ip);
    return ip;
  }
  return undefined;
}

/** A call that comes twice finds what the first one has made. */
export function isHolder(held: GivenAddress, { engine, container, mac }: ReserveRequest): boolean {
  return held.engine === engine && held.container === container && held.mac.equals(mac);
}
