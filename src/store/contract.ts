/**
 * What every Store must do, as cases that a test runs against a store of its own choice:
 *
 *     for (const { name, run } of storeContract) test(name, () => run(fixture));
 *
 * The in-memory twin is only worth testing with as long as it passes what the real one passes.
 */
import type { ContractCase } from './contract/case.ts';
import { keyCases } from './contract/keys.ts';
import { leaseCases } from './contract/leases.ts';
import { observerCases } from './contract/observers.ts';
import { transactionCases } from './contract/transactions.ts';

export const storeContract: readonly ContractCase[] = [
  ...keyCases,
  ...transactionCases,
  ...leaseCases,
  ...observerCases,
];
