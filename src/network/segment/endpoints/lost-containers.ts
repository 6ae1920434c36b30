/** Containers that were connected and whose link is gone: their addresses are freed, unless one is being connected anew. */

export interface ConnectedContainer {
  /** Of the network. */
  readonly name: string;
  readonly container: string;
}

export class LostContainers {
  readonly #free: (name: string, container: string) => Promise<unknown>;
  #lost: ConnectedContainer[] = [];
  /** How many are getting an address now, by name of the network. */
  readonly #held = new Map<string, number>();

  /** @param free gives the addresses of a container back */
  constructor(free: (name: string, container: string) => Promise<unknown>) {
    this.#free = free;
  }

  add(...containers: readonly ConnectedContainer[]): void {
    this.#lost.push(...containers);
  }

  /** Nothing of a network is freed until this is disposed of. @param onEnd called then */
  hold(name: string, onEnd: () => void): Disposable {
    const change = (by: number) => void this.#held.set(name, (this.#held.get(name) ?? 0) + by);
    change(1);
    return {
      [Symbol.dispose]: () => {
        change(-1);
        onEnd();
      },
    };
  }

  /**
   * Frees all but those that are there. What fails, and what is held, is left for the next call.
   * @param isHere whether this host has the network; what is lost of another one is forgotten
   */
  async freeAllBut(present: readonly ConnectedContainer[], isHere: (name: string) => boolean): Promise<void> {
    const known = new Set(present.map(idOf));
    const held: ConnectedContainer[] = [];
    // What is added meanwhile comes behind.
    for (let left = this.#lost.length; left > 0; left--) {
      const [first] = this.#lost;
      if (first === undefined) break;
      const { name, container } = first;
      if (isHere(name) && !known.has(idOf(first))) {
        if ((this.#held.get(name) ?? 0) > 0) held.push(first);
        else await this.#free(name, container);
      }
      this.#lost.shift();
    }
    this.#lost.push(...held);
  }
}

const idOf = ({ name, container }: ConnectedContainer) => `${name} ${container}`;
