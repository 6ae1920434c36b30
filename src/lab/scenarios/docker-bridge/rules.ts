/** The way of a packet as the rules of docker1 say it, which a trace must agree with, whatever Docker has made them. */
import { Ip } from '../../../base/ip.ts';
import { expectedHops, firstDifference } from '../../../inspect/trace/expected-way.ts';
import type { Judge, Stage } from '../../scenario/scenario.ts';

/** The first packet of a connection over TCP. */
export interface Request {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  /** The link of docker1 that it comes in by; absent for one of docker1 itself. */
  readonly input?: string;
}

/** Judges the lines of a trace (`traceLines`). */
export const agreesWithTheRules =
  ({ source, destination, port, input }: Request): Judge =>
  async (output, stage) => {
    const expected = await expectedHops(await stage.type('docker1', 'iptables-save'), {
      packet: {
        protocol: 'tcp',
        source: Ip.parse(source),
        destination: Ip.parse(destination),
        destinationPort: port,
      },
      ...(input === undefined ? {} : { input }),
      isLocal: await localAddresses(stage),
      linkTo: async address => {
        const route = await stage.type('docker1', `ip route get ${address}`);
        return / dev (\S+)/.exec(route)?.[1] ?? 'no link';
      },
    });
    const seen = output.split('\n').flatMap(line => /^ {2}(\S.*)$/.exec(line)?.[1] ?? []);
    const difference = firstDifference(seen, expected);
    return {
      seen: difference ?? `${seen.length} hops, all as the rules say`,
      passed: difference === undefined,
    };
  };

async function localAddresses(stage: Stage): Promise<(address: Ip) => boolean> {
  const listing = await stage.type('docker1', 'ip -brief address');
  const own = Array.from(listing.matchAll(/ ([\d.]+)\/\d+/g), ([, address = '']) => Ip.parse(address));
  return address => address.isLoopback || own.some(one => one.equals(address));
}
