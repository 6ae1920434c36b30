/** Counts the packets of a flow that the kernel drops in some namespaces, until it is ended. */
import type { Drop } from '../../api/inspection.ts';
import { defined } from '../../base/defined.ts';
import { FLANNEL_PORTS } from '../decode/decode-frame.ts';
import { DropMonitor } from '../drops/drop-monitor.ts';
import { type KernelDrop, layersOfDrop } from '../drops/kernel-drop.ts';
import { flowPacket, neighborPacket } from './flow-packet.ts';
import type { WatchedFlow } from './watched-flow.ts';

const MOST_KINDS = 200;

/** Of a socket that captures frames: it had no room for its copy. */
const OF_CAPTURE = 'PACKET_SOCK_ERROR';
/** Every raw socket for ICMP is given a copy, which its filter or its buffer may refuse. */
const OF_RAW_SOCKETS = ['SOCKET_FILTER', 'SOCKET_RCVBUFF', 'PROTO_MEM'];
/** An echo's answer is offered to the two kinds of sockets for it, and its sender has one of them. */
const NO_SOCKET = 'NO_SOCKET';

/** A solicitation goes to a group; every host that is none of it drops its copy there. */
const NO_MEMBER = 'ip6_mc_input';

/** Whether the packet itself went on. */
function isCopy({ reason }: KernelDrop, packet: Drop['packet'], { protocol }: WatchedFlow): boolean {
  if (reason === OF_CAPTURE) return true;
  if (protocol !== 'icmp') return false;
  return OF_RAW_SOCKETS.includes(reason) || (packet === 'reply' && reason === NO_SOCKET);
}

/** Drops of one kind. */
interface CountedDrop {
  readonly drop: KernelDrop;
  readonly packet: Drop['packet'];
  /** The address that an ARP or neighbor discovery message is about. */
  readonly about?: string;
  count: number;
}

export interface DropWatchOptions {
  readonly flow: WatchedFlow;
  readonly vxlanPorts: readonly number[];
  /** Name of the container by the inode of its namespace; undefined for the host's own. */
  readonly namespaces: ReadonlyMap<number, string | undefined>;
}

export class DropWatch implements Disposable {
  readonly #monitor: DropMonitor;
  readonly #options: DropWatchOptions;
  readonly #running: Promise<void>;
  readonly #counted = new Map<string, CountedDrop>();

  private constructor(options: DropWatchOptions) {
    this.#options = options;
    this.#monitor = DropMonitor.open({ netns: [...options.namespaces.keys()] });
    this.#running = this.#run();
    // `finish` awaits it, and fails as it did.
    this.#running.catch(() => undefined);
  }

  /** @throws BpfError where the kernel does not let us */
  static open(options: DropWatchOptions): DropWatch {
    return new DropWatch(options);
  }

  /**
   * What was dropped until now; nothing more is watched.
   *
   * @param needed addresses whose ARP and neighbor discovery the flow needs
   */
  async finish(needed: ReadonlySet<string>): Promise<{ drops: Drop[]; blind: string[] }> {
    const { missed } = this.#monitor;
    const kept = [...this.#counted.values()].filter(({ about }) => about === undefined || needed.has(about));
    const places = await this.#monitor.functionsAt(kept.map(({ drop }) => drop.location));
    const wanted = kept.filter(
      ({ drop, packet }) => packet !== 'neighbor' || places.get(drop.location) !== NO_MEMBER,
    );
    this[Symbol.dispose]();
    await this.#running;
    const drops = wanted.map(({ drop, packet, count }) =>
      defined({
        reason: drop.reason,
        place: places.get(drop.location),
        link: drop.link?.name,
        container: this.#options.namespaces.get(drop.netns),
        packet,
        count,
      }),
    );
    return { drops, blind: missed === 0 ? [] : [`${missed} drops: there were too many at once`] };
  }

  async #run(): Promise<void> {
    for await (const drop of this.#monitor.events()) this.#take(drop);
  }

  #take(drop: KernelDrop): void {
    const { flow, vxlanPorts } = this.#options;
    const layers = layersOfDrop(drop, { vxlanPorts, flannelPorts: FLANNEL_PORTS });
    const neighbor = neighborPacket(layers);
    const packet = neighbor?.packet ?? flowPacket(layers, flow)?.packet;
    if (packet === undefined) return;
    if (isCopy(drop, packet, flow)) return;
    const about = neighbor === undefined ? undefined : `${neighbor.address}`;
    const kind = [drop.reason, drop.location, drop.netns, drop.link?.index, packet, about].join();
    const known = this.#counted.get(kind);
    if (known !== undefined) known.count++;
    else if (this.#counted.size < MOST_KINDS)
      this.#counted.set(kind, { drop, packet, count: 1, ...(about === undefined ? {} : { about }) });
  }

  [Symbol.dispose](): void {
    this.#monitor[Symbol.dispose]();
  }
}
