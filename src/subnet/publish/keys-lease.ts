/** The store lease of what a host has published of itself: found again after a restart, kept alive, replaced when it is lost. */
import type { Clock } from '../../base/clock.ts';
import type { Store, StoreLeaseId } from '../../store/store.ts';
import { Renewal } from '../holder/renewal.ts';

export interface KeysLeaseOptions {
  /** Seconds. */
  readonly ttl: number;
  readonly clock: Clock;
  readonly random: () => number;
}

export class KeysLease {
  readonly #store: Store;
  readonly #ttl: number;
  readonly #clock: Clock;
  readonly #renewal: Renewal;
  #id: StoreLeaseId = 0n;

  constructor(store: Store, { ttl, clock, random }: KeysLeaseOptions) {
    this.#store = store;
    this.#ttl = ttl;
    this.#clock = clock;
    this.#renewal = new Renewal({ margin: 0, random });
  }

  /** 0n before `ensure`. */
  get id(): StoreLeaseId {
    return this.#id;
  }

  /** When `renew` is due, on the monotonic clock. */
  get due(): number {
    return this.#renewal.due;
  }

  /** @param former those on which keys of this host are: one of them is kept if the store has it. @throws StoreError */
  async ensure(former: readonly StoreLeaseId[]): Promise<void> {
    if (this.#id !== 0n) return;
    for (const id of former) if (id !== 0n && (await this.#keepAlive(id))) return;
    const sent = this.#clock.monotonic();
    const { id, ttl } = await this.#store.grant(this.#ttl);
    this.#id = id;
    this.#renewal.confirmed(sent, ttl);
  }

  /** @throws StoreError */
  async renew(): Promise<void> {
    if (this.#id !== 0n && !(await this.#keepAlive(this.#id))) this.lost();
  }

  /** The store does not have it any more. */
  lost(): void {
    this.#id = 0n;
    this.#renewal.stop();
  }

  /** @throws StoreError */
  async revoke(): Promise<void> {
    const id = this.#id;
    this.lost();
    if (id !== 0n) await this.#store.revoke(id);
  }

  async #keepAlive(id: StoreLeaseId): Promise<boolean> {
    const sent = this.#clock.monotonic();
    const ttl = await this.#store.keepAlive(id);
    if (ttl === undefined) return false;
    this.#id = id;
    this.#renewal.confirmed(sent, ttl);
    return true;
  }
}
