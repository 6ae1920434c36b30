/** A store of entries in memory, as a program holds them that is told what to do over a socket, with its failures. */
import type { Prefix } from '../../base/prefix.ts';
import type { StoreChange, StoreLink, StoreLoss, TableStore } from '../../dataplane/tables/store.ts';
import type { TunnelEntry } from '../../dataplane/tables/tunnels.ts';

/** Decides whether a change is refused. */
type Refusal = (change: StoreChange<TunnelEntry>) => boolean;

export class MemoryTable implements TableStore<TunnelEntry> {
  /** By link and subnet. */
  readonly #entries = new Map<string, TunnelEntry>();
  readonly #listeners = new Set<(loss: StoreLoss) => void>();
  #refusal: { readonly isRefused: Refusal; left: number } | undefined;
  #isGone = false;
  /** Sizes of the batches written since the start. */
  readonly batches: number[] = [];
  reads = 0;
  /** Called when entries have been read, before the answer arrives. */
  onRead: () => void = () => {};

  async read({ name }: StoreLink): Promise<readonly TunnelEntry[]> {
    this.#check();
    this.reads++;
    const found = this.#of(name).map(([, entry]) => entry);
    this.onRead();
    return found;
  }

  async write(changes: readonly StoreChange<TunnelEntry>[]): Promise<readonly (Error | undefined)[]> {
    this.#check();
    this.batches.push(changes.length);
    return changes.map(change => {
      const { link, entry, former } = change;
      const refusal = this.#refusal;
      if (refusal !== undefined && refusal.left > 0 && refusal.isRefused(change)) {
        refusal.left--;
        return new Error('the forwarder has no room');
      }
      if (entry !== undefined) this.#entries.set(keyOf(link.name, entry.subnet), entry);
      else this.#entries.delete(keyOf(link.name, former.subnet));
      return undefined;
    });
  }

  watch(onLoss: (loss: StoreLoss) => void): Disposable {
    this.#listeners.add(onLoss);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onLoss) };
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** One line per entry, in order. */
  show(): string {
    return Array.from(this.#entries, ([key, { destination, port }]) => `${key} to ${destination}:${port}`)
      .sort()
      .join('\n');
  }

  /** The next changes for which `isRefused` holds are refused. */
  refuse(isRefused: Refusal, times = Number.POSITIVE_INFINITY): void {
    this.#refusal = { isRefused, left: times };
  }

  /** The program was started anew, and knows nothing. */
  restart(): void {
    this.#entries.clear();
    this.#isGone = false;
    this.#emit({ reason: 'the forwarder was restarted', isEmpty: true });
  }

  /** The program is gone: it answers nothing until `restart`. */
  crash(): void {
    this.#entries.clear();
    this.#isGone = true;
    this.#emit({ reason: 'the forwarder is gone', isEmpty: false });
  }

  /** Another program changes an entry, or removes it. @param link undefined: it is not said which one is concerned */
  damage(name: string, subnet: Prefix, entry: TunnelEntry | undefined, link?: string): void {
    if (entry === undefined) this.#entries.delete(keyOf(name, subnet));
    else this.#entries.set(keyOf(name, subnet), entry);
    this.#emit({ reason: 'entries were changed', isEmpty: false, ...(link === undefined ? {} : { link }) });
  }

  /** Entries vanish, and nothing is said of it. */
  loseSilently(): void {
    this.#entries.clear();
  }

  #of(link: string): [string, TunnelEntry][] {
    return Array.from(this.#entries).filter(([key]) => key.startsWith(`${link} `));
  }

  #check(): void {
    if (this.#isGone) throw new Error('the forwarder does not answer');
  }

  #emit(loss: StoreLoss): void {
    for (const listener of this.#listeners) listener(loss);
  }
}

const keyOf = (link: string, subnet: Prefix) => `${link} ${subnet}`;
