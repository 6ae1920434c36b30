/**
 * The addresses that containers of this host have of its leased subnet: nobody else gives any out of it, so that nobody is asked.
 * A host that gets another subnet gives addresses of that one; who has one of the former keeps it until it is released.
 */
import { messageOf } from '../base/errors.ts';
import { FAMILY_LABELS, type Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { isAddressOfHost } from '../subnet/segment/check-segment.ts';
import type { AddressBook, GivenAddress } from './address-book.ts';
import { BookFile } from './book-file.ts';
import { OVERLAY_BOOK } from './book-text.ts';
import { chooseAddress, isHolder, type ReserveRequest, takeKept } from './choose-address.ts';
import { IpamError } from './errors.ts';

/** What can be given out. */
export interface OverlayRoom {
  readonly subnets: PerFamily<Prefix>;
  /** Of the bridge. */
  readonly gateways: PerFamily<Ip>;
}

export class OverlayAddresses {
  readonly #file: BookFile;
  readonly #book: AddressBook;
  readonly #logger: Logger;

  private constructor(file: BookFile, book: AddressBook, logger: Logger) {
    this.#file = file;
    this.#book = book;
    this.#logger = logger;
  }

  /** With what the last run gave out. @param directory of the agent's state */
  static async open(directory: string, logger: Logger): Promise<OverlayAddresses> {
    const file = new BookFile(directory, OVERLAY_BOOK);
    const { book, lost } = await file.open();
    if (lost !== undefined) {
      logger.warn(
        { error: messageOf(lost) },
        'the addresses given out of the leased subnet could not be read as a whole',
      );
    }
    return new OverlayAddresses(file, book, logger);
  }

  /** How many are held. */
  get size(): number {
    return this.#book.size;
  }

  held(): readonly GivenAddress[] {
    return this.#book.addresses();
  }

  holder(ip: Ip): GivenAddress | undefined {
    return this.#book.at(ip);
  }

  /** Gives an engine an address, which it holds until it releases it. @throws IpamError */
  async reserve(request: ReserveRequest, { subnets, gateways }: OverlayRoom): Promise<Ip> {
    const { family, ip: wanted, mac, container, engine, keep } = request;
    const book = this.#book;
    const subnet = subnets[family];
    if (subnet === undefined) {
      throw new IpamError('UNUSABLE_ADDRESS', `this host has leased no ${FAMILY_LABELS[family]} subnet`);
    }
    const isUsable = (ip: Ip) => isAddressOfHost(ip, subnet) && gateways[family]?.equals(ip) !== true;
    const holder = wanted && book.at(wanted);
    if (holder !== undefined) {
      if (isHolder(holder, request)) return holder.ip;
      throw new IpamError('TAKEN_ADDRESS', `${wanted} is the address of ${holder.container} on this host`);
    }
    if (wanted !== undefined && !isUsable(wanted)) {
      const message = `${wanted} is no address that a container of this host can have, whose subnet is ${subnet}`;
      throw new IpamError('UNUSABLE_ADDRESS', message);
    }
    const room = { blocks: [subnet], isTaken: (ip: Ip) => book.at(ip) !== undefined || !isUsable(ip) };
    const ip = wanted ?? chooseAddress(book, request, room) ?? takeKept(book, family, room);
    if (ip === undefined) {
      throw new IpamError('NO_ADDRESS', `every address of ${subnet} is given out on this host`);
    }
    book.give({ ip, mac, container, engine });
    if (keep === true) book.keep(container, ip);
    await this.#save();
    return ip;
  }

  /** Nobody's is nothing to do. */
  async release(ip: Ip): Promise<void> {
    this.#book.free(ip);
    await this.#save();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #save(): Promise<void> {
    try {
      await this.#file.save();
    } catch (error) {
      this.#logger.warn(
        { error: messageOf(error) },
        'the addresses given out of the leased subnet could not be written',
      );
    }
  }
}
