/** Where programs of ours were attached, and whether they still are there: what the kernel does not announce is looked at. */
import type { LinkPlace, Mechanism } from './mechanism.ts';

export class AttachedPlaces {
  readonly #ids = new Map<string, { readonly place: LinkPlace; readonly id: number }>();

  set(place: LinkPlace, id: number): void {
    this.#ids.set(keyOf(place), { place, id });
  }

  delete(place: LinkPlace): void {
    this.#ids.delete(keyOf(place));
  }

  /** Whether one is not there any more, with its link or without; of that place nothing is said again. @throws SysError */
  async hasLost(mechanism: Pick<Mechanism, 'programs'>): Promise<boolean> {
    let hasLost = false;
    for (const { place, id } of this.#ids.values()) {
      if ((await mechanism.programs(place)).includes(id)) continue;
      if (this.#ids.get(keyOf(place))?.id === id) this.delete(place);
      hasLost = true;
    }
    return hasLost;
  }
}

const keyOf = ({ index, point }: LinkPlace) => `${index} ${point}`;
