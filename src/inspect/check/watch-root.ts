/** Sends the probes of a rung again while both hosts watch for them. */
import type { Flow, Observation } from '../../api/inspection.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { Prober, randomEchoId } from '../../probe/prober.ts';
import { probeTcp } from '../../probe/tcp.ts';
import type { Netns } from '../../sys/netns.ts';
import type { Inspector, OngoingObservation } from '../inspector/inspector.ts';
import type { WatchedRung } from './judge/case.ts';
import type { Root } from './judge/roots.ts';
import { rungState } from './rung.ts';

/** A flow that is lost whole shows with few probes; one that loses some needs as many as make the loss visible. */
const PROBES = { broken: { count: 4, spacing: 150 }, lossy: { count: 60, spacing: 8 } } as const;
/** More for one that lost some and now loses none: a loss of 2 % shows at least twice in 98 of 100 such measurements. */
const REPEATED = { count: 240, spacing: 4 } as const;
const PATIENCE = 600;
/** Ports from here on are given to programs by chance: with 14 bits above it one is found that is free. */
const FIRST_FREE_PORT = 40_000;

export interface WatchParts {
  readonly here: Inspector;
  /** Of the peer; undefined where it cannot be asked. */
  readonly there?: Inspector | undefined;
  readonly unwatched?: string | undefined;
  /** Where the probes leave from. */
  readonly netns: Netns;
  readonly source: Ip;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Never rejects because a host cannot be asked: then that host has not watched. */
export async function watchRoot({ rung, state }: Root, parts: WatchParts): Promise<WatchedRung> {
  const { here, there, netns, source, clock, signal } = parts;
  const id = randomEchoId();
  const ends = { from: String(source), to: String(rung.to) };
  const [toPort] = rung.ports ?? [];
  const fromPort = FIRST_FREE_PORT + (id >>> 2);
  const flow: Flow =
    toPort === undefined ? { ...ends, protocol: 'icmp', id } : { ...ends, protocol: 'tcp', fromPort, toPort };
  await using watches = new AsyncDisposableStack();
  const begin = async (
    inspector: Inspector | undefined,
  ): Promise<OngoingObservation | string | undefined> => {
    try {
      return inspector && watches.use(await inspector.observe(flow, signal));
    } catch (error) {
      signal.throwIfAborted();
      return messageOf(error);
    }
  };
  const [near, far] = await Promise.all([begin(here), begin(there)]);
  const { count } = PROBES[state];
  const answered = await (toPort === undefined ? send(PROBES[state]) : connectTo(toPort));
  const [seenHere, seenThere] = await Promise.all([finish(near), finish(far)]);
  const repeated =
    state === 'lossy' && rungState({ sent: count, answered }) === 'ok' ? await repeat() : undefined;
  const unwatched =
    typeof far === 'string' ? far : typeof seenThere === 'string' ? seenThere : parts.unwatched;
  return {
    rung,
    sent: toPort === undefined ? count : 1,
    answered,
    ...(repeated !== undefined && { repeated }),
    ...(isSeen(seenHere) && { here: { ...seenHere, host: here.host } }),
    ...(isSeen(seenThere) && { there: { ...seenThere, host: rung.peer ?? seenThere.host } }),
    ...(unwatched !== undefined && { unwatched }),
  };

  async function connectTo(port: number): Promise<number> {
    const probe = { netns, source, sourcePort: fromPort, to: rung.to, port, timeout: 2 * PATIENCE };
    return (await probeTcp(probe, signal)).outcome === 'answered' ? 1 : 0;
  }

  async function repeat() {
    return { sent: count + REPEATED.count, answered: answered + (await send(REPEATED)) };
  }

  async function send({ count: probes, spacing }: { count: number; spacing: number }): Promise<number> {
    using prober = new Prober(netns, clock, { id });
    const answers: Promise<boolean>[] = [];
    for (let number = 0; number < probes; number++) {
      if (number > 0) await clock.sleep(spacing, signal);
      const options = {
        size: rung.bytes,
        timeout: PATIENCE,
        ...(rung.source !== undefined && { source: rung.source }),
      };
      // What cannot be sent is lost, too: an address that is gone.
      answers.push(
        prober.probe(rung.to, options).then(
          ({ outcome }) => outcome === 'answered',
          () => false,
        ),
      );
    }
    return (await Promise.all(answers)).filter(isAnswered => isAnswered).length;
  }
}

async function finish(
  ongoing: OngoingObservation | string | undefined,
): Promise<Observation | string | undefined> {
  if (ongoing === undefined || typeof ongoing === 'string') return undefined;
  try {
    return await ongoing.finish();
  } catch (error) {
    return messageOf(error);
  }
}

const isSeen = (seen: Observation | string | undefined): seen is Observation => typeof seen === 'object';
