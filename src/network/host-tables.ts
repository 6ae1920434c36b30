/**
 * Links and addresses of this host: read as a whole once, and kept up to date from the kernel's announcements, so that a
 * change costs the same however many links there are. What was lost of the announcements is read again.
 *
 * A link is announced as it is now. The order of the addresses of a link means something (the first one is used), and only
 * the kernel knows where a new one is: those of one link are read again.
 */
import type { Address, Link } from '../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/route/rtnetlink.ts';

export type ReadableTables = {
  readonly links: Pick<Rtnetlink['links'], 'list'>;
  readonly addresses: Pick<Rtnetlink['addresses'], 'list'>;
};

export class HostTables {
  readonly #rtnetlink: ReadableTables;
  /** By index. */
  readonly #links = new Map<number, Link>();
  /** By index of the link, as the kernel has them. */
  readonly #addresses = new Map<number, readonly Address[]>();
  /** Indexes of links whose addresses have changed. */
  readonly #unread = new Set<number>();
  #isStale = true;
  /** Announced while all is being read; undefined otherwise. */
  #early: KernelEvent[] | undefined;

  constructor(rtnetlink: ReadableTables) {
    this.#rtnetlink = rtnetlink;
  }

  link(index: number): Link | undefined {
    return this.#links.get(index);
  }

  /** What the kernel has announced, in the order in which it did. */
  announced(event: KernelEvent): void {
    if (event.type === 'overrun') this.#isStale = true;
    else if (this.#early !== undefined) this.#early.push(event);
    else if (event.type === 'address') this.#unread.add(event.address.index);
    else if (event.type === 'link') this.#take(event.link, event.gone);
  }

  /** All that there is now. @throws NetlinkError, SysError; the next call reads what this one could not */
  async read(): Promise<{ readonly links: readonly Link[]; readonly addresses: readonly Address[] }> {
    if (this.#isStale) await this.#readAll();
    for (const index of this.#unread) {
      this.#unread.delete(index);
      try {
        const ofLink = await this.#rtnetlink.addresses.list({ index });
        // A link that is gone has none, and is not remembered for it.
        if (ofLink.length > 0) this.#addresses.set(index, ofLink);
        else this.#addresses.delete(index);
      } catch (error) {
        this.#unread.add(index);
        throw error;
      }
    }
    return {
      links: [...this.#links.values()].sort((a, b) => a.index - b.index),
      addresses: [...this.#addresses.values()].flat().sort(byFamilyAndLink),
    };
  }

  async #readAll(): Promise<void> {
    const early: KernelEvent[] = [];
    this.#early = early;
    this.#isStale = false;
    try {
      const { links, addresses } = this.#rtnetlink;
      const [allLinks, allAddresses] = await Promise.all([links.list(), addresses.list()]);
      this.#links.clear();
      for (const link of allLinks) this.#links.set(link.index, link);
      this.#addresses.clear();
      for (const [index, ofLink] of Map.groupBy(allAddresses, address => address.index)) {
        this.#addresses.set(index, ofLink);
      }
      this.#unread.clear();
    } catch (error) {
      this.#isStale = true;
      throw error;
    } finally {
      this.#early = undefined;
      // What is older than what was read has a newer one behind it.
      for (const event of early) this.announced(event);
    }
  }

  #take(link: Link, gone: boolean): void {
    if (!gone) this.#links.set(link.index, link);
    else {
      this.#links.delete(link.index);
      this.#addresses.delete(link.index);
    }
  }
}

/** As the kernel lists them; those of one link stay as they are. */
const byFamilyAndLink = (a: Address, b: Address) =>
  a.family === b.family ? a.index - b.index : a.family === 'ipv4' ? -1 : 1;
