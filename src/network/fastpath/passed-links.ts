/** The links that packets pass on the normal path: whether one of them is not what it was. */
import type { HostNetwork } from '../underlay.ts';

export class PassedLinks {
  /** What matters of each, by index. */
  #links = new Map<number, string>();

  /**
   * Whether one of those of the last call has changed or gone; that there is one more changes no packet's way.
   * @param passed indexes of the links now
   */
  isOther({ links, addresses }: HostNetwork, passed: ReadonlySet<number>): boolean {
    const now = new Map<number, string>();
    for (const { index, name, up, running, mtu, master, mac } of links) {
      if (!passed.has(index) && !this.#links.has(index)) continue;
      const own = addresses.flatMap(address =>
        address.index === index ? [`${address.ip}/${address.length}`] : [],
      );
      now.set(index, JSON.stringify([name, up, running, mtu, master, mac, own]));
    }
    const isOther = [...this.#links].some(([index, text]) => now.get(index) !== text);
    for (const index of now.keys()) if (!passed.has(index)) now.delete(index);
    this.#links = now;
    return isOther;
  }
}
