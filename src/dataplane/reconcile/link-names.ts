/** What the links of the host are called, for reports: listed once, and followed through events. */
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';

export class LinkNames {
  readonly #names = new Map<number, string>();
  #isStale = true;

  /** As `ip` says it: a link that is not known is `if7`. */
  of(index: number): string {
    return this.#names.get(index) ?? `if${index}`;
  }

  observe(event: KernelEvent): void {
    if (event.type !== 'link') return;
    const { index, name } = event.link;
    if (event.gone) this.#names.delete(index);
    else this.#names.set(index, name);
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
    for (const { index, name } of listed) this.#names.set(index, name);
  }
}
