/** What the links of the host are called: listed once, and followed through events. */
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';

export class LinkNames {
  readonly #names = new Map<number, string>();
  readonly #indexes = new Map<string, number>();
  #isStale = true;
  #listing = 0;

  /** As `ip` says it: a link that is not known is `if7`. */
  of(index: number): string {
    return this.nameOf(index) ?? `if${index}`;
  }

  nameOf(index: number): string | undefined {
    return this.#names.get(index);
  }

  indexOf(name: string): number | undefined {
    return this.#indexes.get(name);
  }

  indexes(): Iterable<number> {
    return this.#names.keys();
  }

  /** How often the links were listed: after that they may be any. */
  get listing(): number {
    return this.#listing;
  }

  observe(event: KernelEvent): void {
    if (event.type !== 'link') return;
    const { index, name } = event.link;
    if (event.gone) this.#delete(index);
    else this.set(index, name);
  }

  /** The link has this name, and no other one has. True when that is news. */
  set(index: number, name: string): boolean {
    const former = this.#indexes.get(name);
    if (former === index) return false;
    if (former !== undefined) this.#delete(former);
    this.#delete(index);
    this.#names.set(index, name);
    this.#indexes.set(name, index);
    return true;
  }

  /** Events were lost. */
  markStale(): void {
    this.#isStale = true;
  }

  /** Lists the links, if that is needed. @throws NetlinkError */
  async refresh({ links }: Rtnetlink): Promise<void> {
    if (!this.#isStale) return;
    this.#isStale = false;
    const listed = await links.list();
    this.#names.clear();
    this.#indexes.clear();
    for (const { index, name } of listed) this.set(index, name);
    this.#listing++;
  }

  #delete(index: number): void {
    const name = this.#names.get(index);
    this.#names.delete(index);
    if (name !== undefined) this.#indexes.delete(name);
  }
}
