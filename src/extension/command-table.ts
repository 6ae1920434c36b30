/**
 * What the commands of peers have made on this host, as a table of the data plane: SubnetAddCommand is the write of an
 * entry and SubnetRemoveCommand its removal. The data plane compares, tries again and reports.
 *
 * What an earlier run has made is made again: what it stands on may be new. A command that has failed may have done a part
 * of its work, so its entry is undone before the next try.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import {
  type HostCommand,
  type HostCommandEntry,
  isSameCommand,
  isSameEffect,
} from '../dataplane/tables/commands.ts';
import type { StoreChange, StoreLink, StoreLoss, TableStore } from '../dataplane/tables/store.ts';
import { CommandJobs } from './command-jobs.ts';

/** Milliseconds for which the data plane waits for the commands of one write. */
const PATIENCE = 1_000;
/** Tries to remove what a peer that has gone has left. */
const MOST_REMOVALS = 4;

/**
 * former  made by an earlier run of the agent
 * begun   under way or failed: in place in part, perhaps
 * made    in place
 */
type State = 'former' | 'begun' | 'made';

interface Held {
  /** Name of the link that it belongs to; undefined while that is not known of an earlier run. */
  readonly link: string | undefined;
  readonly entry: HostCommandEntry;
  readonly state: State;
  /** How often its removal has failed. */
  readonly removals: number;
}

export interface CommandTableOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** @throws HostCommandError */
  readonly run: (command: HostCommand) => Promise<unknown>;
  /** Resolves when it is known what an earlier run has made. */
  readonly loaded: () => Promise<void>;
  /** What may be in place has changed; resolves when that is remembered. */
  readonly remember: () => Promise<void>;
}

export class CommandTable implements TableStore<HostCommandEntry> {
  readonly #options: CommandTableOptions;
  /** By subnet. */
  readonly #held = new Map<string, Held>();
  readonly #jobs = new CommandJobs();
  readonly #listeners = new Set<(loss: StoreLoss) => void>();
  /** Why no peer can be added yet. */
  #obstacle: string | undefined = 'this host is not set up for peers yet';

  constructor(options: CommandTableOptions) {
    this.#options = options;
  }

  /** What may be in place. */
  get entries(): readonly HostCommandEntry[] {
    return Array.from(this.#held.values(), ({ entry }) => entry);
  }

  /** An earlier run has made these. */
  adopt(entries: readonly HostCommandEntry[]): void {
    for (const entry of entries) {
      this.#held.set(entry.subnet.toString(), { link: undefined, entry, state: 'former', removals: 0 });
    }
  }

  /** What an earlier run has made belongs to this link. */
  assign(link: string): void {
    for (const [subnet, held] of this.#held) this.#held.set(subnet, { ...held, link: held.link ?? link });
  }

  /** @param obstacle why no peer can be added; undefined when they can. */
  setObstacle(obstacle: string | undefined): void {
    if (obstacle === this.#obstacle) return;
    this.#obstacle = obstacle;
    if (obstacle === undefined) this.#lost('this host was set up for peers');
  }

  /** Tells the data plane of commands that took long, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const ends of this.#jobs.lateEnds.changes(signal)) {
      if (ends > 0) this.#lost('a command has ended');
    }
  }

  async read({ name }: StoreLink): Promise<readonly HostCommandEntry[]> {
    await this.#options.loaded();
    const ofLink = Array.from(this.#held.values()).filter(({ link }) => link === name);
    return ofLink.map(({ entry, state }) =>
      state === 'made' ? entry : ({ ...entry, isFormer: true } as const),
    );
  }

  async write(changes: readonly StoreChange<HostCommandEntry>[]): Promise<readonly (Error | undefined)[]> {
    const enough = new AbortController();
    const patience = this.#options.clock.sleep(PATIENCE, enough.signal).catch(() => undefined);
    try {
      return await Promise.all(changes.map(change => this.#change(change, patience)));
    } finally {
      enough.abort();
      void this.#options.remember();
    }
  }

  watch(onLoss: (loss: StoreLoss) => void): Disposable {
    this.#listeners.add(onLoss);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onLoss) };
  }

  /** Removes everything, one try each. */
  async removeAll(): Promise<void> {
    await Promise.all(this.entries.map(entry => this.#remove(entry, Promise.race([]))));
  }

  /** Resolves when no command is under way. */
  settled(): Promise<void> {
    return this.#jobs.settled();
  }

  #change(
    { link, entry, former }: StoreChange<HostCommandEntry>,
    patience: Promise<unknown>,
  ): Promise<Error | undefined> {
    return entry === undefined ? this.#remove(former, patience) : this.#add(link, entry, patience);
  }

  async #add(
    { name: link }: StoreLink,
    entry: HostCommandEntry,
    patience: Promise<unknown>,
  ): Promise<Error | undefined> {
    const subnet = entry.subnet.toString();
    const held = this.#held.get(subnet);
    // It took long, and nobody has asked since.
    if (held?.state === 'made' && isSameCommand(held.entry, entry)) return undefined;
    if (this.#obstacle !== undefined) return new Error(this.#obstacle);
    const purpose = { subnet, name: entry.add?.name ?? 'a command', content: JSON.stringify(entry.add) };
    return this.#jobs.run(purpose, patience, async () => {
      const before = this.#held.get(subnet);
      if (before !== undefined && (before.state === 'begun' || !isSameEffect(before.entry, entry))) {
        await this.#undo(before.entry);
      }
      // Remembered first: an agent that is killed meanwhile leaves something that can be undone.
      this.#hold(link, entry, 'begun');
      await this.#options.remember();
      if (entry.add !== undefined) await this.#options.run(entry.add);
      this.#hold(link, entry, 'made');
    });
  }

  async #remove({ subnet: block }: HostCommandEntry, patience: Promise<unknown>): Promise<Error | undefined> {
    const subnet = block.toString();
    const held = this.#held.get(subnet);
    if (held === undefined) return undefined;
    const { link, entry, removals } = held;
    const purpose = {
      subnet,
      name: entry.remove?.name ?? 'a removal',
      content: JSON.stringify(entry.remove),
    };
    return this.#jobs.run(purpose, patience, async () => {
      try {
        if (entry.remove !== undefined) await this.#options.run(entry.remove);
      } catch (error) {
        this.#held.set(subnet, { link, entry, state: 'begun', removals: removals + 1 });
        if (removals + 1 < MOST_REMOVALS) throw error;
        this.#options.logger.warn({ subnet, error: String(error) }, 'what a peer has left is not removed');
      }
      this.#held.delete(subnet);
    });
  }

  /** What it had made may be gone, so its failure means nothing. */
  async #undo({ remove }: HostCommandEntry): Promise<void> {
    if (remove !== undefined) await this.#options.run(remove).catch(() => undefined);
  }

  #hold(link: string, wanted: HostCommandEntry, state: State): void {
    const { owner: _, ...entry } = wanted;
    this.#held.set(entry.subnet.toString(), { link, entry, state, removals: 0 });
  }

  #lost(reason: string): void {
    for (const listener of this.#listeners) listener({ reason, isEmpty: false });
  }
}
