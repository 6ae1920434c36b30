/**
 * Echo requests that a test counts, each with its own time to come back. The program ping would not do: with one answer in hand
 * it waits for the last ones only for its interval or for twice the longest round trip, whatever its `-W` says (iputils,
 * ping_common.c, schedule_exit), so that on a busy machine answers that are there already count as lost.
 */
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { type ProbeResult, Prober } from '../../src/probe/prober.ts';
import { Netns } from '../../src/sys/netns.ts';

/** Milliseconds until an answer counts as lost. */
const PATIENCE = 10_000;

export interface EchoRequests {
  /** File of the network namespace that they leave from. */
  readonly from: string;
  readonly to: string;
  readonly count: number;
  /** Milliseconds between two of them. */
  readonly interval: number;
  /** Bytes of each IP packet; the least there is when absent. */
  readonly size?: number;
}

/** How many of them are not answered. */
export async function lostEchoes({ from, to, count, interval, size }: EchoRequests): Promise<number> {
  using netns = Netns.open(from);
  using prober = new Prober(netns, systemClock);
  const asked: Promise<ProbeResult>[] = [];
  for (let number = 0; number < count; number++) {
    if (number > 0) await systemClock.sleep(interval);
    const options = { timeout: PATIENCE, ...(size === undefined ? {} : { size }) };
    const result = prober.probe(Ip.parse(to), options);
    // It is thrown below; the others are sent meanwhile.
    result.catch(() => undefined);
    asked.push(result);
  }
  const results = await Promise.all(asked);
  return results.filter(({ outcome }) => outcome !== 'answered').length;
}
