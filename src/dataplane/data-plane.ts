/**
 * The data plane of one host, as an interface of one page. `openDataPlane` gives the real one.
 *
 * It is level-triggered. The setters only state the wanted world and return at once; `apply()` compares it with
 * what the kernel holds and programs the difference. What others change in the kernel is noticed through its
 * notifications and repaired without being asked.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { Desired, DesiredHost, DesiredPeer } from './desired.ts';
import type { ProgramStore } from './programs.ts';
import type { ApplyResult, DataPlaneReport, NetworkReport, PeerReport, Repair } from './report.ts';
import type { TableStores } from './tables/store.ts';

/** Files below /proc/sys of one network namespace. */
export interface SysctlFiles {
  /** Without the final newline; undefined when this kernel has no such file. */
  read(path: string): string | undefined;
  /** @throws SysError */
  write(path: string, value: string): void;
  /** Calls back when the file is written to, where the kernel reports it; undefined where it does not. */
  watch(path: string, onWrite: () => void): Disposable | undefined;
}

export interface DataPlaneOptions {
  /** Bound to the network namespace that is to be programmed; stays the caller's. */
  readonly rtnetlink: Rtnetlink;
  readonly sysctls: SysctlFiles;
  readonly logger: Logger;
  /** Called after every repair of a change that another program made. */
  readonly onRepair?: (repair: Repair) => void;
  /**
   * Called with the state after every comparison with the kernel, whether `apply` asked for it or not, and
   * whether settings of the kernel (sysctls) may have changed since the last one.
   */
  readonly onRound?: (result: ApplyResult, settingsChanged: boolean) => void;
  /** Tables that are not the kernel's rtnetlink, by kind of entry. A kind without one cannot be programmed. */
  readonly stores?: TableStores;
  /** Programs at links. Without it none can be attached. */
  readonly programs?: ProgramStore;
  /** `auto` asks the kernel once; `never` programs plain routes, as on kernels before 5.3. */
  readonly nexthopObjects?: 'auto' | 'never';
  /** Milliseconds between full comparisons when nothing calls for one, spread over [1/2, 1) of it: 10 minutes. */
  readonly resyncInterval?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** What one network wants of the host: an overlay, a tunnel, an L2 segment. */
export interface NetworkScope {
  readonly name: string;

  /** States everything: `setHost` and `setPeers`. */
  set(desired: Desired): void;

  /** States this host's half. A link that was desired before and is no more is deleted. */
  setHost(host: DesiredHost): void;

  /** States all peers; one that is not among them is removed. Costs O(peers), writes only what differs. */
  setPeers(peers: Iterable<DesiredPeer>): void;

  /** States one peer. Costs O(1). */
  setPeer(peer: DesiredPeer): void;

  /** Takes one peer away; nothing happens when it is not there. */
  removePeer(key: string): void;

  /**
   * Takes the network away: its links, and its entries on links that are not ours. Nothing may be stated with this
   * scope afterwards; another one may have the name.
   */
  remove(): void;

  report(): NetworkReport;

  /** undefined for a key that is not stated. */
  peerReport(key: string): PeerReport | undefined;
}

export interface DataPlane extends AsyncDisposable {
  /**
   * The network of this name, which begins to exist with the first call. Where two networks want one link or entry, the
   * one that began first has it, and the other one reports a failure; so peers of two networks may have the same key.
   */
  network(name: string): NetworkScope;

  /** In the order in which they began. */
  readonly networks: readonly NetworkScope[];

  /**
   * Makes it so, for all networks. Resolves when everything stated before the call has been tried, but for programs at
   * many links, which follow; calls made meanwhile share one further round. Never rejects because an entry was refused: that is in the result, and is retried
   * with backoff. Rejects when the kernel cannot be talked to at all (SysError), or its tables change so fast that
   * they cannot be read (NetlinkError, DUMP_INTERRUPTED); that is retried too.
   */
  apply(): Promise<ApplyResult>;

  /** Compares everything with the kernel, whatever is known, and repairs what differs. */
  resync(reason: string): Promise<ApplyResult>;

  /** Of all networks together. */
  report(): DataPlaneReport;

  /** Stops watching and waits for the round that runs. Leaves the kernel as it is. */
  [Symbol.asyncDispose](): Promise<void>;
}
