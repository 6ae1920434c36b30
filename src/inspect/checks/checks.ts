/** All checks of a host; the order is that of the way of a packet, and decides only what is listed first. */
import type { NamedCheck } from './check.ts';
import { CONTAINER_CHECKS } from './container-checks.ts';
import { NETWORK_CHECKS } from './network-checks.ts';

export const CHECKS: readonly NamedCheck[] = [...CONTAINER_CHECKS, ...NETWORK_CHECKS];
