/**
 * The seam for tables that are not the kernel's rtnetlink: a program that forwards packets, sets of the firewall, maps
 * of BPF programs. Who opens the data plane hands it one store per kind of entry (`DataPlaneOptions.stores`); the data
 * plane compares, writes, retries and reports as it does for the kernel.
 */
import type { HostCommandEntry } from './commands.ts';
import type { Entry } from './entry.ts';
import type { TunnelEntry } from './tunnels.ts';

/** The link that entries belong to, while it is in place. */
export interface StoreLink {
  readonly name: string;
  /** Another one after the link was made anew. */
  readonly index: number;
}

/** One change: `entry` is to be there, or nothing under the key of `former`. */
export type StoreChange<Value> =
  | { readonly link: StoreLink; readonly entry: Value; readonly former: Value | undefined }
  | { readonly link: StoreLink; readonly entry: undefined; readonly former: Value };

/** What a store holds is not what was written, or may not be. */
export interface StoreLoss {
  /** Name; undefined: all links. */
  readonly link?: string;
  /** For the report: `the forwarder was restarted`. */
  readonly reason: string;
  /** It holds nothing now: need not be read. Otherwise it is read. */
  readonly isEmpty: boolean;
}

export interface TableStore<Value extends Entry> {
  /**
   * Every entry of the link that it holds; no other program may make any. Read when the link comes into place, after a
   * refusal, after a loss and in full comparisons. A rejection is retried with backoff.
   */
  read(link: StoreLink): Promise<readonly Value[]>;

  /**
   * Makes the changes in order, and returns one result per change, undefined where it was made; each refused one is
   * retried alone. `entry` replaces what has its key. A rejection means that none is known to be made: the link's entries
   * are read again. At most 1,024 at a time, and never two calls at once.
   */
  write(changes: readonly StoreChange<Value>[]): Promise<readonly (Error | undefined)[]>;

  /** Calls back whenever entries were lost or changed by others, until it is disposed of. May be called during a write. */
  watch(onLoss: (loss: StoreLoss) => void): Disposable;
}

/** By kind of entry. */
export interface TableStores {
  readonly tunnel?: TableStore<TunnelEntry>;
  readonly command?: TableStore<HostCommandEntry>;
}
