/** What must not be freed just now, by name of the network: as long as one hold of it is not disposed of. */
export class Holds {
  readonly #counts = new Map<string, number>();

  has(name: string): boolean {
    return (this.#counts.get(name) ?? 0) > 0;
  }

  /** @param onEnd called when it is disposed of */
  hold(name: string, onEnd: () => void): Disposable {
    const change = (by: number) => void this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
    change(1);
    return {
      [Symbol.dispose]: () => {
        change(-1);
        onEnd();
      },
    };
  }
}
