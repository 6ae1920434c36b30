/**
 * The program that moves packets in user space, for a backend that needs one: started, watched and stopped here, and the
 * table of it as the data plane sees it. It continues while no agent runs.
 */

import type { ForwarderSpec } from '../backend/backend.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import { Watchable } from '../base/watchable.ts';
import type { LinkReport } from '../dataplane/report.ts';
import type { StoreChange, TableStore } from '../dataplane/tables/store.ts';
import type { TunnelEntry } from '../dataplane/tables/tunnels.ts';
import type { ForwarderStats } from '../forwarder/control/messages.ts';
import { type ForwarderState, ManagedForwarder, stopForwarder } from '../forwarder/managed-forwarder.ts';
import type { ForwarderFiles } from './options.ts';

/** What this host needs of a forwarder. */
export interface DesiredForwarder extends ForwarderSpec {
  /** This host's addresses in the overlay, at most one of each family. */
  readonly own: readonly Ip[];
}

/** Milliseconds in which a forwarder must have been adopted or started, for what it has to be read. */
const READ_PATIENCE = 5000;

/** Milliseconds that a forwarder which runs or is being started has for taking a table. */
const WRITE_PATIENCE = 3000;

export class ForwarderTarget {
  readonly #files: ForwarderFiles;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** undefined until a plan says: one that an earlier agent has started continues until then. */
  readonly #desired = new Watchable<DesiredForwarder | 'none' | undefined>(undefined);
  /** Whether another program's link has the name of the device. */
  readonly #isRefused = new Watchable(false);
  /** By the key of the subnet. */
  readonly #entries = new Map<number | bigint, TunnelEntry>();
  /** Whether what an adopted forwarder had is among the entries. */
  #areEntriesKnown = false;
  #running: ManagedForwarder | undefined;
  /** undefined while none is desired. */
  readonly state = new Watchable<ForwarderState | undefined>(undefined);

  constructor(files: ForwarderFiles, clock: Clock, log: Logger) {
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
  }

  /** The entries of the data plane's table: what is written is stated, and the forwarder has it as soon as it runs. */
  readonly store: TableStore<TunnelEntry> = {
    read: async ({ name }) => {
      const desired = this.#desired.value;
      // Every link has such a table, and only that of the forwarder's device has entries.
      if (typeof desired !== 'object' || desired.device !== name) return [];
      if (!this.#areEntriesKnown) await this.#readEntries();
      return [...this.#entries.values()];
    },
    write: async changes => {
      for (const change of changes) this.#change(change);
      this.#stateTable();
      // Routes that lead to it are written next. One that has failed gets all of it when it is started.
      if (this.state.value?.lastError === undefined)
        await this.#running?.inSync(AbortSignal.timeout(WRITE_PATIENCE)).catch(() => undefined);
      return changes.map(() => undefined);
    },
    // A forwarder that is started again gets the whole table.
    watch: () => ({ [Symbol.dispose]: () => undefined }),
  };

  set(desired: DesiredForwarder | 'none'): void {
    if (JSON.stringify(desired) !== JSON.stringify(this.#desired.value)) this.#desired.set(desired);
  }

  /** Why no packet gets over this link; undefined for a link that the kernel serves, and while a forwarder runs. */
  obstacle(link: string): string | undefined {
    const desired = this.#desired.value;
    if (typeof desired !== 'object' || desired.device !== link) return undefined;
    const { pid, lastError } = this.state.value ?? {};
    if (pid !== undefined) return undefined;
    return lastError === undefined ? 'no forwarder runs yet' : `no forwarder runs: ${lastError}`;
  }

  /** What became of the device in the data plane. */
  follow(links: readonly Pick<LinkReport, 'name' | 'code'>[]): void {
    const desired = this.#desired.value;
    if (typeof desired !== 'object') return;
    const { code } = links.find(({ name }) => name === desired.device) ?? {};
    const isOfAnother = code === 'NOT_OURS' || code === 'LINK_CONFLICT';
    // Otherwise it would be taken from another network as soon as that has no forwarder for a moment.
    const isRefused = isOfAnother && this.state.value?.pid === undefined;
    if (isRefused !== this.#isRefused.value) this.#isRefused.set(isRefused);
    if (code === 'LINK_MISSING') this.#running?.replaceWithoutDevice();
  }

  /** Counters; undefined when no forwarder runs. @throws ForwarderError */
  async stats(): Promise<ForwarderStats | undefined> {
    return this.#running?.stats();
  }

  /** Makes it so until `signal` aborts; a forwarder that runs then continues. */
  async run(signal: AbortSignal): Promise<void> {
    let over = new AbortController();
    let running: Promise<void> = Promise.resolve();
    for await (const desired of this.#decisions(signal)) {
      over.abort();
      await running;
      over = new AbortController();
      if (desired === 'none') running = this.#stop();
      else if (desired !== undefined) running = this.#keep(desired, AbortSignal.any([signal, over.signal]));
    }
    await running;
  }

  /** What to do: nothing while the device cannot be had. */
  async *#decisions(signal: AbortSignal): AsyncGenerator<DesiredForwarder | 'none' | undefined, void> {
    const changes = new Watchable(0);
    const count = async (one: Watchable<unknown>) => {
      for await (const _ of one.changes(signal)) changes.set(changes.value + 1);
    };
    const counting = [count(this.#desired), count(this.#isRefused)];
    let before: DesiredForwarder | 'none' | undefined;
    for await (const _ of changes.changes(signal)) {
      const desired = this.#desired.value;
      const now = desired !== 'none' && this.#isRefused.value ? undefined : desired;
      if (now !== before) yield now;
      before = now;
    }
    await Promise.all(counting);
  }

  /** Ends the forwarder, of this run or an earlier one; the device is the data plane's to delete. */
  async #stop(): Promise<void> {
    this.#entries.clear();
    this.#areEntriesKnown = true;
    try {
      await stopForwarder(this.#files.control);
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'the forwarder could not be stopped');
    }
  }

  async #keep({ device, listen, mtu }: DesiredForwarder, signal: AbortSignal): Promise<void> {
    const forwarder = new ManagedForwarder({ ...this.#files, device, listen, mtu }, this.#clock, this.#log);
    this.#running = forwarder;
    this.#stateTable();
    const reporting = (async () => {
      for await (const state of forwarder.state.changes(signal)) this.state.set(state);
    })();
    await forwarder.run(signal);
    await reporting.catch(() => undefined);
    this.#running = undefined;
    this.state.set(undefined);
  }

  /** Takes over what a forwarder of an earlier agent has, so that nothing of it is interrupted. */
  async #readEntries(): Promise<void> {
    // One that could not be started has nothing to take over.
    const isDecided = ({ pid, lastError }: ForwarderState) => pid !== undefined || lastError !== undefined;
    const late = AbortSignal.timeout(READ_PATIENCE);
    await this.state
      .until(state => state !== undefined && isDecided(state), late)
      .catch((error: unknown) => {
        throw late.aborted ? new Error('the forwarder is not ready yet') : error;
      });
    const { routes = [] } = (await this.stats()) ?? {};
    for (const { subnet, remote, port } of routes) {
      const entry = { subnet: Prefix.parse(subnet), destination: Ip.parse(remote), port };
      this.#entries.set(entry.subnet.key, entry);
    }
    this.#areEntriesKnown = true;
    this.#stateTable();
  }

  #change({ entry, former }: StoreChange<TunnelEntry>): void {
    if (former !== undefined) this.#entries.delete(former.subnet.key);
    if (entry !== undefined) this.#entries.set(entry.subnet.key, entry);
  }

  #stateTable(): void {
    const desired = this.#desired.value;
    if (typeof desired !== 'object' || !this.#areEntriesKnown) return;
    this.#running?.setTable({
      own: desired.own,
      routes: Array.from(this.#entries.values(), ({ subnet, destination: remote, port }) => ({
        subnet,
        remote,
        port,
      })),
    });
  }
}
