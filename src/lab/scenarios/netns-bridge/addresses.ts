/** The addresses of the walkthrough, and a ping from ns1. */
import type { CommandSpec } from '../../scenario/scenario.ts';

export const NS1 = '192.168.2.10';
export const NS2 = '192.168.2.11';
export const OUTSIDE = '192.168.65.4';

export const pingFromNs1 = (address: string): CommandSpec => ({
  line: `ip netns exec ns1 ping -c 1 -W 2 ${address}`,
  mayFail: true,
});
