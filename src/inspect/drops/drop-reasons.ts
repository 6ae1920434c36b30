/** Reasons for which the kernel drops a packet (include/net/dropreason-core.h), by the numbers of the kernel that runs. */

const PREFIX = 'SKB_DROP_REASON_';

/** Names that are no drops: the packet lives, or has done its work (what consume_skb frees). */
const NO_DROPS = ['SKB_NOT_DROPPED_YET', 'SKB_CONSUMED'];
/** What healthy connections and sockets that are closed leave behind. */
const NOISE = ['TCP_OLD_DATA', 'TCP_OLD_SEQUENCE', 'QUEUE_PURGE'];
/** Callers that say no reason free packets of all kinds, those of no protocol among them: netlink's, a socket's queue. */
const UNNAMED = 'NOT_SPECIFIED';

export class DropReasons {
  /** Without their prefix. */
  readonly #names: ReadonlyMap<number, string>;
  /** Numbers that are never shown or counted. */
  readonly hidden: readonly number[];
  /** Of packets for which no reason is said. */
  readonly unnamed: number | undefined;
  /** One more than the largest number of the core; subsystems have theirs from 65,536 on. */
  readonly size: number;

  /** @param names of enum skb_drop_reason, by value */
  constructor(names: ReadonlyMap<number, string>) {
    const core = Array.from(names).filter(([number]) => number >= 0 && number < SUBSYSTEM);
    this.#names = new Map(core.map(([number, name]) => [number, name.replace(PREFIX, '')]));
    const numbersOf = (wanted: readonly string[]) =>
      Array.from(this.#names).flatMap(([number, name]) => (wanted.includes(name) ? [number] : []));
    this.hidden = numbersOf([...NO_DROPS, ...NOISE]);
    [this.unnamed] = numbersOf([UNNAMED]);
    this.size = Math.max(0, ...this.#names.keys()) + 1;
  }

  /** `IP_RPFILTER`; `SUBSYSTEM_3` for those of mac80211, Open vSwitch and others, whose names are their modules'. */
  nameOf(reason: number): string {
    if (reason >= SUBSYSTEM) return `SUBSYSTEM_${reason >>> 16}`;
    return this.#names.get(reason) ?? `REASON_${reason}`;
  }
}

/** SKB_DROP_REASON_SUBSYS_SHIFT. */
const SUBSYSTEM = 1 << 16;
