/**
 * What every Store must do, as cases that a test runs against a store of its own choice:
 *
 *     for (const { name, run } of storeContract) test(name, () => run(fixture));
 *
 * The in-memory twin is only worth testing with as long as it passes what the real one passes.
 */
import { keyCases } from './contract/keys.ts';
import { leaseCases } from './contract/leases.ts';
import { observerCases } from './contract/observers.ts';
import { transactionCases } from './contract/transactions.ts';
import type { Store } from './store.ts';

/** A store under test. Nobody else writes to it while a case runs; what earlier cases left is ignored. */
export interface StoreFixture {
  readonly store: Store;
  /** Another connection to the same contents; the case closes it. */
  connect(): Store;
  /** Makes the store forget its history up to now. */
  compact(): Promise<void>;
  /** Where the store's time does not pass by itself: lets it pass. */
  pass(seconds: number): Promise<void>;
}

export interface ContractCase {
  readonly name: string;
  run(fixture: StoreFixture): Promise<void>;
}

export const storeContract: readonly ContractCase[] = [
  ...keyCases,
  ...transactionCases,
  ...leaseCases,
  ...observerCases,
];
