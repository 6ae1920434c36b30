/**
 * What every Store must do, as cases that a test runs against a store of its own choice:
 *
 *     for (const { name, run } of storeContract) test(name, () => run(fixture));
 *
 * The store in memory is useful in tests only as long as it passes what the real one passes.
 */
import type { StoreCase } from './store-contract/case.ts';
import { keyCases } from './store-contract/keys.ts';
import { leaseCases } from './store-contract/leases.ts';
import { observerCases } from './store-contract/observers.ts';
import { transactionCases } from './store-contract/transactions.ts';

export const storeContract: readonly StoreCase[] = [
  ...keyCases,
  ...transactionCases,
  ...leaseCases,
  ...observerCases,
];
