/**
 * What Rtnetlink does on any kernel, as cases that a test runs against the kernel of its choice:
 *
 *     for (const { name, run } of rtnetlinkContract) test(name, () => run(fixture));
 *
 * The fake kernel is only worth testing with as long as it passes what the real one passes.
 */
import { connectionCases } from './contract/connection.ts';
import { linkCases } from './contract/links.ts';
import { neighborCases } from './contract/neighbors.ts';
import { routingCases } from './contract/routing.ts';
import type { ContractCase } from './contract/tools.ts';

export type { ContractCase, KernelFixture, ShowCommand } from './contract/tools.ts';

export const rtnetlinkContract: readonly ContractCase[] = [
  ...linkCases,
  ...routingCases,
  ...neighborCases,
  ...connectionCases,
];
