/** ICMP messages, which anybody may send to this host: replies, and errors that quote what this host has sent. */
import { echoRequest, parseAnswer } from '../../src/probe/icmp.ts';
import type { FuzzTarget } from './fuzz.ts';

/** Type, code, checksum and MTU of "fragmentation needed" and "packet too big"; then an IP header and the request. */
const quoted = (family: 'ipv4' | 'ipv6', begin: readonly number[], header: number) =>
  Uint8Array.from([
    ...begin,
    0x45,
    ...Array<number>(header - 1).fill(0),
    ...echoRequest(family, { id: 1, sequence: 2 }, 0),
  ]);

export const icmpTargets: readonly FuzzTarget[] = (['ipv4', 'ipv6'] as const).map(family => ({
  name: `answers of ${family} hosts`,
  seeds: [
    echoRequest(family, { id: 1, sequence: 2 }, 100).with(0, family === 'ipv4' ? 0 : 129),
    family === 'ipv4'
      ? quoted(family, [3, 4, 0, 0, 0, 0, 5, 120], 20)
      : quoted(family, [2, 0, 0, 0, 0, 0, 5, 120], 40),
  ],
  accepts: input => parseAnswer(family, input) !== undefined,
}));
