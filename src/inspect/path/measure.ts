/** Sends the packet of a trace, and has both hosts watch it. */
import type { Flow, Observation } from '../../api/inspection.ts';
import { outOfPatience } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { Prober, randomEchoId } from '../../probe/prober.ts';
import { ConnectingSocket } from '../../sys/connecting-socket.ts';
import { SysError } from '../../sys/errors.ts';
import type { Netns } from '../../sys/netns.ts';
import type { Inspector } from '../inspector/inspector.ts';

/** Milliseconds for an answer. */
const PATIENCE = 1500;

export interface MeasureOptions {
  readonly from: Ip;
  readonly to: Ip;
  readonly protocol: Flow['protocol'];
  readonly toPort?: number;
  /** Where the packet leaves from. */
  readonly netns: Netns;
  readonly watchers: readonly Pick<Inspector, 'host' | 'observe'>[];
  readonly clock: Clock;
}

/**
 * answered     with an echo, a connection, a datagram
 * closed       by the kernel at the other end: no program has the port
 * unreachable  by an ICMP error, or by this host's own answer
 */
export interface SentPacket {
  readonly protocol: Flow['protocol'];
  readonly outcome: 'answered' | 'closed' | 'unreachable' | 'silent';
  /** Milliseconds there and back, of one that was answered. */
  readonly ms?: number;
  /** Of one that is unreachable: who says what. */
  readonly reason?: string;
}

type Answer = Omit<SentPacket, 'protocol'>;

export interface Measured {
  readonly sent: SentPacket;
  readonly observations: readonly Observation[];
  readonly unwatched: readonly { readonly host: string; readonly reason: string }[];
}

/** @throws SysError without the right to send; `signal.reason` */
export async function measurePacket(options: MeasureOptions, signal: AbortSignal): Promise<Measured> {
  const { protocol, netns, from, toPort } = options;
  using socket = protocol === 'icmp' ? undefined : ConnectingSocket.open(netns, protocol, from);
  const id = randomEchoId();
  const flow: Flow = {
    from: String(from),
    to: String(options.to),
    protocol,
    ...(socket === undefined ? { id } : { fromPort: socket.port }),
    ...(toPort !== undefined && { toPort }),
  };
  const unwatched: { host: string; reason: string }[] = [];
  const orSay = async <T>(host: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      unwatched.push({ host, reason: messageOf(error) });
      return undefined;
    }
  };
  await using watches = new AsyncDisposableStack();
  const watching = await Promise.all(
    options.watchers.map(async watcher => {
      const watch = await orSay(watcher.host, () => watcher.observe(flow, signal));
      return watch === undefined ? undefined : { host: watcher.host, watch: watches.use(watch) };
    }),
  );
  const answer = socket === undefined ? await echo(options, id) : await ask(socket, options, signal);
  const observations = await Promise.all(
    watching.filter(one => one !== undefined).map(({ host, watch }) => orSay(host, () => watch.finish())),
  );
  const sent = { ...answer, protocol };
  return { sent, unwatched, observations: observations.filter(one => one !== undefined) };
}

async function echo({ netns, clock, to, from }: MeasureOptions, id: number): Promise<Answer> {
  using prober = new Prober(netns, clock, { id });
  try {
    const result = await prober.probe(to, { source: from, timeout: PATIENCE });
    switch (result.outcome) {
      case 'answered':
        return { outcome: 'answered', ms: result.ms };
      case 'silent':
        return { outcome: 'silent' };
      case 'too big':
        return { outcome: 'unreachable', reason: 'it is larger than a link on the way takes' };
      case 'unreachable':
        return { outcome: 'unreachable', reason: said(result.reason, result.from) };
    }
  } catch (error) {
    // The source is no address of where it leaves from.
    if (error instanceof SysError && error.code === 'EADDRNOTAVAIL')
      return { outcome: 'unreachable', reason: error.message };
    throw error;
  }
}

const said = (reason: string, from: Ip | undefined) =>
  from === undefined ? reason : `${from} says: ${reason}`;

async function ask(
  socket: ConnectingSocket,
  { to, toPort = 0, clock }: MeasureOptions,
  signal: AbortSignal,
): Promise<Answer> {
  const late = outOfPatience(PATIENCE);
  const began = clock.monotonic();
  try {
    await socket.ask(to, toPort, AbortSignal.any([signal, late]));
    return { outcome: 'answered', ms: clock.monotonic() - began };
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return { outcome: 'silent' };
    if (!(error instanceof SysError)) throw error;
    if (error.code === 'ECONNREFUSED') return { outcome: 'closed', ms: clock.monotonic() - began };
    return { outcome: 'unreachable', reason: error.message };
  }
}
