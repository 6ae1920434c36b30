/** What a case of the contract is, and what it is run against. */
import type { Store } from '../../store/store.ts';

/** A store under test. Only the case writes to it while it runs; what earlier cases left is ignored. */
export interface StoreFixture {
  readonly store: Store;
  /** Another connection to the same contents; the case closes it. */
  connect(): Store;
  /** Makes the store forget its history up to now. */
  compact(): Promise<void>;
  /** Where the store's time does not pass by itself: lets it pass. */
  pass(seconds: number): Promise<void>;
}

export interface StoreCase {
  readonly name: string;
  run(fixture: StoreFixture): Promise<void>;
}
