/** Counts the packets of a flow on all links of a namespace, as a filter in the kernel lets them pass, until it is ended. */
import { setImmediate } from 'node:timers/promises';
import type { Sighting } from '../../api/inspection.ts';
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { type CapturedFrame, CaptureSocket } from '../../sys/capture-socket.ts';
import type { Netns } from '../../sys/netns.ts';
import { decodeFrame, FLANNEL_PORTS } from '../decode/decode-frame.ts';
import { flowFilter } from './flow-filter.ts';
import { flowPacket, neighborPacket } from './flow-packet.ts';
import type { WatchedFlow } from './watched-flow.ts';

/** More than any check sends; what a flow of a person has beyond it would only cost. */
const MOST_FRAMES = 50_000;
/** Entries of each list. */
const MOST_KINDS = 500;
/** Milliseconds that an answer may take before its request counts as unanswered. */
const ANSWER_PATIENCE = 150;
/** ARPHRD_NONE, IPIP, IP6IP6, SIT. */
const WITHOUT_ETHERNET = [65_534, 768, 769, 776];

/** A sighting as the socket knows it: with the index of its link. */
export type LinkSighting = Omit<Sighting, 'link' | 'point'> & { readonly link: number };

/** An address that was asked for. */
export interface NeighborRequest {
  readonly address: Ip;
  readonly askedBy: Ip;
  /** Index of the link on which it was seen first. */
  readonly link: number;
  readonly count: number;
}

export interface SeenPackets {
  /** In the order in which the first of each kind came. */
  readonly sightings: readonly LinkSighting[];
  /** Of neighbors that did not answer anyone. */
  readonly unanswered: readonly NeighborRequest[];
  /** What was not counted, one sentence each. */
  readonly blind: readonly string[];
}

/** UDP ports that VXLAN devices listen on. */
export const vxlanPortsOf = (links: readonly Link[]): number[] => [
  ...new Set(links.flatMap(({ info }) => (info?.kind === 'vxlan' && info.port ? [info.port] : []))),
];

type Counted<T> = { -readonly [Key in keyof T]: T[Key] };

export class SightingWatch implements Disposable {
  readonly #socket: CaptureSocket;
  readonly #flow: WatchedFlow;
  readonly #ports: { readonly vxlanPorts: readonly number[]; readonly flannelPorts: readonly number[] };
  readonly #types: ReadonlyMap<number, number>;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #sightings = new Map<string, Counted<LinkSighting>>();
  readonly #requests = new Map<string, Counted<NeighborRequest> & { readonly time: bigint }>();
  readonly #answered = new Set<string>();
  #frames = 0;

  private constructor(netns: Netns, flow: WatchedFlow, links: readonly Link[]) {
    this.#flow = flow;
    this.#ports = { vxlanPorts: vxlanPortsOf(links), flannelPorts: FLANNEL_PORTS };
    this.#types = new Map(links.map(({ index, type }) => [index, type]));
    this.#socket = CaptureSocket.open(netns, { filter: flowFilter(flow, this.#ports) });
    this.#running = this.#run();
  }

  /** @param links of the namespace. @throws SysError EPERM without CAP_NET_RAW */
  static open(netns: Netns, flow: WatchedFlow, links: readonly Link[]): SightingWatch {
    return new SightingWatch(netns, flow, links);
  }

  /** What came until now; nothing more is watched. */
  async finish(): Promise<SeenPackets> {
    this.#stop.abort(new Error('the observation ends'));
    await this.#running;
    while (this.#frames < MOST_FRAMES && this.#take() > 0);
    const { dropped } = this.#socket;
    const now = BigInt(Date.now()) * 1_000_000n;
    const isOverdue = (time: bigint) => now - time > BigInt(ANSWER_PATIENCE) * 1_000_000n;
    return {
      sightings: [...this.#sightings.values()],
      unanswered: [...this.#requests.values()].filter(
        ({ address, time }) => !this.#answered.has(`${address}`) && isOverdue(time),
      ),
      blind: [
        ...(this.#frames < MOST_FRAMES ? [] : [`packets after the first ${MOST_FRAMES} of the flow`]),
        ...(dropped === 0 ? [] : [`${dropped} packets for which the socket had no room`]),
      ],
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted && this.#frames < MOST_FRAMES) {
      if (this.#take() > 0) await setImmediate();
      else await this.#socket.readable(signal).catch(() => undefined);
    }
  }

  /** @returns how many frames there were */
  #take(): number {
    const frames = this.#socket.receive();
    for (const frame of frames) this.#count(frame);
    this.#frames += frames.length;
    return frames.length;
  }

  #count(frame: CapturedFrame): void {
    const isIp = WITHOUT_ETHERNET.includes(this.#types.get(frame.link) ?? 1);
    const layers = decodeFrame(frame.bytes, { linkType: isIp ? 'ip' : 'ethernet', ...this.#ports });
    const direction = frame.type === 'outgoing' ? 'out' : 'in';
    const packet = flowPacket(layers, this.#flow);
    if (packet !== undefined) return this.#see({ link: frame.link, direction, ...packet, count: 1 });
    const neighbor = neighborPacket(layers);
    if (neighbor === undefined) return;
    const { asks, address, askedBy } = neighbor;
    if (!asks) this.#answered.add(`${address}`);
    // An address that asks for itself announces itself, and one that nobody has yet is not used (RFC 5227).
    else if (!address.equals(askedBy) && !askedBy.isUnspecified) {
      const known = this.#requests.get(`${address} ${askedBy}`);
      if (known === undefined) this.#ask({ address, askedBy, link: frame.link, count: 1, time: frame.time });
      else if (known.link === frame.link) known.count++;
    }
  }

  #see(sighting: LinkSighting): void {
    const { link, direction, packet, encapsulated, translated, error } = sighting;
    const kind = [link, direction, packet, encapsulated, translated, error].join();
    const known = this.#sightings.get(kind);
    if (known !== undefined) known.count++;
    else if (this.#sightings.size < MOST_KINDS) this.#sightings.set(kind, defined(sighting));
  }

  #ask(request: NeighborRequest & { readonly time: bigint }): void {
    if (this.#requests.size < MOST_KINDS)
      this.#requests.set(`${request.address} ${request.askedBy}`, request);
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error('the observation ends'));
    // Whoever waits for the descriptor has stopped by then.
    void this.#running.then(() => this.#socket[Symbol.dispose]());
  }
}
