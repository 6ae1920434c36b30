/**
 * What a kernel does with what is asked of it, as cases that a test runs against the kernel of its choice:
 *
 *     for (const { name, run } of netlinkContract) test(name, () => run(fixture));
 *
 * The fake kernel is only worth testing with as long as it passes what the real one passes.
 */
import { connectionCases } from './netlink-contract/connection.ts';
import { linkCases } from './netlink-contract/links.ts';
import { neighborCases } from './netlink-contract/neighbors.ts';
import { routingCases } from './netlink-contract/routing.ts';
import type { NetlinkCase } from './netlink-contract/tools.ts';

export type { KernelFixture, NetlinkCase, ShowCommand } from './netlink-contract/tools.ts';

export const netlinkContract: readonly NetlinkCase[] = [
  ...linkCases,
  ...routingCases,
  ...neighborCases,
  ...connectionCases,
];
