/**
 * A flow of our own between two containers, long enough to take the fast path: whether its packets arrive before and after,
 * and what the programs of both hosts know of it then.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { Flow, Observation } from '../../api/inspection.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { WANTED_SEEN } from '../../fastpath/programs/layout.ts';
import { getsockname } from '../../sys/libc.ts';
import type { Netns } from '../../sys/netns.ts';
import { SOCKADDR } from '../../sys/socket-address.ts';
import { openUdpSocket } from '../../sys/udp-socket.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { type FastHost, walkJourney } from '../path/journey.ts';

export interface FastPair {
  /** Name of the host, and of its container. */
  readonly peer: string;
  readonly target: string;
  /** Of this host. */
  readonly container: string;
  readonly source: Ip;
  readonly to: Ip;
}

export interface Asked {
  readonly sent: number;
  readonly answered: number;
}

export interface FastProbe {
  readonly pair: FastPair;
  /** Of the first packets, which prove the flow on the normal path; and of those after them. */
  readonly normal: Asked;
  readonly fast: Asked;
  /** What each host knows of the flow, first this one. */
  readonly hosts: readonly FastHost[];
  /** Where some of the later ones were lost: the same again, watched. */
  readonly views: readonly Observation[];
}

export interface FastProbeParts {
  readonly here: Inspector;
  readonly there: Inspector;
  /** Where the container of this host is. */
  readonly netns: Netns;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Round trips that all take the normal path, and as many after them as show a loss. */
const PROVING = WANTED_SEEN;
const PROVEN = 48;
/** Milliseconds for an answer. A proof lasts 500: what is lost on the fast path passes again after as long. */
const FIRST_PATIENCE = 400;
const PATIENCE = 120;
/** Lost ones after which nothing more is to be learned. */
const ENOUGH = 6;
const LATE = 600;
/** Of another try where something has changed meanwhile, and each flow had to prove itself anew. */
const SPACING = 20;

/** A reason instead where the flow cannot be made: the other host cannot be asked, a firewall lets no datagram pass. */
export async function probeFastPath(pair: FastPair, parts: FastProbeParts): Promise<FastProbe | string> {
  const { here, there, clock, signal } = parts;
  try {
    const { source, to } = pair;
    await using echo = await there.echo({ address: String(to), from: String(source) }, signal);
    using asker = new Asker(parts, source, { to, port: echo.port });
    const normal = await asker.ask({ most: PROVING, patience: FIRST_PATIENCE, enough: PROVING / 2 });
    if (normal.answered < PROVING)
      return `${normal.sent - normal.answered} of ${normal.sent} datagrams got no answer`;
    const walk = async () => {
      const ends = { from: source, to, protocol: 'udp', toPort: echo.port, fromPort: asker.port } as const;
      const { legs } = await walkJourney({ ...ends, near: here, far: there }, signal);
      return legs.flatMap(({ fastPath = [] }) => fastPath);
    };
    const later = { most: PROVEN, patience: PATIENCE, enough: ENOUGH };
    let fast = await asker.ask(later);
    let hosts = await walk();
    if (fast.answered === fast.sent && !hosts.every(isCarried)) {
      fast = await asker.ask(later, () => clock.sleep(SPACING, signal));
      hosts = await walk();
    }
    const flow = {
      from: String(source),
      to: String(to),
      protocol: 'udp',
      fromPort: asker.port,
      toPort: echo.port,
    } as const;
    if (fast.sent - fast.answered < 2) return { pair, normal, fast, hosts, views: [] };
    // Once more, so that what a busy machine has lost is not taken for it.
    const again = await watched([here, there], flow, () => asker.ask(later), signal);
    // After a rest the next packet takes the normal path: where that is lost too, it is not the fast path that loses.
    await clock.sleep(LATE, signal);
    const last = await asker.ask({ most: 2, patience: FIRST_PATIENCE, enough: 2 });
    if (last.answered === 0) return 'its datagrams got no answer any more, on the normal path neither';
    // The other host may have been too busy to answer before.
    return { pair, normal, fast: asker.recount(again.asked), hosts, views: again.views };
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}

/** Whether packets of the flow took the fast path there, or none can. */
export const isCarried = ({ state, flows }: FastHost): boolean =>
  state === 'normal' ||
  flows.some(({ sentPackets, deliveredPackets }) => sentPackets > 0 && deliveredPackets > 0);

async function watched(
  hosts: readonly Inspector[],
  flow: Flow,
  ask: () => Promise<Asked>,
  signal: AbortSignal,
): Promise<{ readonly asked: Asked; readonly views: Observation[] }> {
  await using watches = new AsyncDisposableStack();
  const ongoing = await Promise.all(hosts.map(async host => watches.use(await host.observe(flow, signal))));
  const asked = await ask();
  return { asked, views: await Promise.all(ongoing.map(one => one.finish())) };
}

interface AskOptions {
  readonly most: number;
  /** Milliseconds. */
  readonly patience: number;
  /** Ends when so many are lost. */
  readonly enough: number;
}

/** Asks one after the other: a flow of both directions. */
class Asker implements Disposable {
  readonly port: number;
  readonly #socket: Socket;
  readonly #to: string;
  readonly #toPort: number;
  readonly #clock: Clock;
  /** Numbers of all that were. */
  readonly #answered = new Set<number>();
  /** The number of the first one that was asked. */
  readonly #firstOf = new WeakMap<Asked, number>();
  #number = 0;
  #onAnswer: (number: number) => void = () => undefined;

  constructor(
    { netns, clock }: FastProbeParts,
    source: Ip,
    { to, port }: { readonly to: Ip; readonly port: number },
  ) {
    this.#clock = clock;
    this.#to = String(to);
    this.#toPort = port;
    const fd = netns.run(() => openUdpSocket(source, 0));
    const name = getsockname(fd, SOCKADDR[source.family].length);
    this.port = new DataView(name.buffer, name.byteOffset).getUint16(2);
    this.#socket = createSocket(source.family === 'ipv4' ? 'udp4' : 'udp6');
    this.#socket.on('message', bytes => {
      if (bytes.byteLength !== 4) return;
      const number = bytes.readUInt32BE();
      this.#answered.add(number);
      this.#onAnswer(number);
    });
    this.#socket.on('error', () => undefined);
    this.#socket.bind({ fd });
  }

  async ask(
    { most, patience, enough }: AskOptions,
    between: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<Asked> {
    const first = this.#number + 1;
    let [sent, lost] = [0, 0];
    while (sent < most && lost < enough) {
      if (sent > 0) await between();
      sent++;
      if (!(await this.#once(patience))) lost++;
    }
    // Of a busy machine, answers that were too late.
    if (lost > 0) await this.#clock.sleep(LATE);
    const asked = this.#count(first, sent);
    this.#firstOf.set(asked, first);
    return asked;
  }

  /** With the answers that have come since. */
  recount(asked: Asked): Asked {
    return this.#count(this.#firstOf.get(asked) ?? 1, asked.sent);
  }

  #count(first: number, sent: number): Asked {
    const isOne = (number: number) => number >= first && number < first + sent;
    return { sent, answered: [...this.#answered].filter(isOne).length };
  }

  #once(patience: number): Promise<boolean> {
    const number = ++this.#number;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return new Promise(resolve => {
      const late = setTimeout(() => resolve(false), patience);
      this.#onAnswer = answer => {
        if (answer !== number) return;
        clearTimeout(late);
        resolve(true);
      };
      this.#socket.send(bytes, this.#toPort, this.#to, () => undefined);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
