/**
 * Captures what passes in a lab while a scenario is performed. The kernel queues the frames, and they are taken between
 * the steps, so that a step runs as it would alone. A socket keeps its network namespace, which a scenario may want to
 * end: so only the fabric and the hosts are watched, and namespaces within a host where there is no wire outside.
 */
import { readdirSync } from 'node:fs';
import { type CaptureLink, captureLinks, vxlanPortsIn } from '../../src/inspect/capture/capture-links.ts';
import { openCapture, packetOf } from '../../src/inspect/capture/run-capture.ts';
import { ADDRESS_ITSELF } from '../../src/inspect/capture/short-form.ts';
import { decodeFrame, VXLAN_PORTS } from '../../src/inspect/decode/decode-frame.ts';
import type { PcapngInterface, PcapngPacket } from '../../src/inspect/pcapng/blocks.ts';
import { CaptureFile } from '../../src/inspect/pcapng/capture-file.ts';
import { namespacesOf } from '../../src/lab/host/anchor.ts';
import { LabHost } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { type CapturedFrame, CaptureSocket } from '../../src/sys/capture-socket.ts';
import { Netns } from '../../src/sys/netns.ts';

/** Frames with the same layers that are kept, of one link and one step. */
const MOST_OF_A_KIND = 12;
/** Bytes that are kept of one link and one step: the kernel has frames of 64 KiB, which it cuts up later. */
const MOST_BYTES = 256 << 10;

interface WatchedLink extends CaptureLink {
  /** Of its interface in the file. */
  readonly number: number;
}

interface Wire {
  readonly socket: CaptureSocket;
  readonly links: ReadonlyMap<number, WatchedLink>;
}

interface Place {
  readonly name: string;
  /** File of its network namespace. */
  readonly netns: string;
}

export class ScenarioCapture implements Disposable {
  readonly #lab: string;
  readonly #wires: Wire[] = [];
  /** `PLACE:LINK:INDEX` of the links that a socket is open for. */
  readonly #watched = new Set<string>();
  readonly #interfaces: PcapngInterface[] = [];
  readonly #packets: PcapngPacket[] = [];
  readonly #vxlanPorts = new Set<number>(VXLAN_PORTS);
  #seen = 0;
  /** Of the sockets that are closed. */
  #dropped = 0;

  constructor(lab: string) {
    this.#lab = lab;
  }

  /** Before each step: takes what came in the one before, and watches links that are new. */
  async nextStep(): Promise<void> {
    this.#takeFrames();
    for (const place of placesIn(this.#lab)) await this.#watch(place);
  }

  /** At the end of the last step: from now on nothing is captured. */
  end(): void {
    this.#takeFrames();
    this[Symbol.dispose]();
  }

  #takeFrames(): void {
    const taken = new Map<string, number>();
    /** Whether there is room for so much more of this. */
    const fits = (what: string, amount: number, most: number) => {
      const sum = (taken.get(what) ?? 0) + amount;
      if (sum <= most) taken.set(what, sum);
      return sum <= most;
    };
    for (const { socket, links } of this.#wires)
      for (let frames = socket.receive(); frames.length > 0; frames = socket.receive())
        for (const frame of frames) {
          const link = links.get(frame.link);
          if (link === undefined) continue;
          this.#seen++;
          const layers = decodeFrame(frame.bytes, { linkType: link.linkType, vxlanPorts: this.vxlanPorts });
          const kind = [link.number, ...layers.map(({ layer }) => layer)].join();
          if (!fits(kind, 1, MOST_OF_A_KIND)) continue;
          if (!fits(`${link.number}`, frame.bytes.byteLength, MOST_BYTES)) continue;
          // The bytes are the socket's, until it receives again.
          const kept: CapturedFrame = { ...frame, bytes: frame.bytes.slice() };
          this.#packets.push(packetOf({ frame: kept, link, layers }, link.number, ADDRESS_ITSELF));
        }
  }

  /** Of the links so far, and the usual ones. */
  get vxlanPorts(): number[] {
    return [...this.#vxlanPorts];
  }

  /** Once it has ended: `200 of 3000 frames of 9 links, 0 dropped by the kernel`. */
  get summary(): string {
    const kept = `${this.#packets.length} of ${this.#seen} frames of ${this.#interfaces.length} links`;
    return `${kept}, ${this.#dropped} dropped by the kernel`;
  }

  /** In the order of their times. */
  write(path: string): void {
    using file = CaptureFile.create(path, this.#interfaces);
    for (const packet of this.#packets.toSorted((a, b) => Number(a.time - b.time))) file.add(packet);
    file.flush();
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#wires.splice(0)) {
      this.#dropped += socket.dropped;
      socket[Symbol.dispose]();
    }
  }

  async #watch({ name, netns: path }: Place): Promise<void> {
    using netns = Netns.open(path);
    await using rtnetlink = connectRoute({ netns });
    const all = await rtnetlink.links.list();
    for (const port of vxlanPortsIn(all)) this.#vxlanPorts.add(port);
    const found = captureLinks(all, undefined).filter(link => {
      const id = `${name}:${link.name}:${link.index}`;
      const isNew = !this.#watched.has(id);
      this.#watched.add(id);
      return isNew;
    });
    if (found.length === 0) return;
    const links = new Map<number, WatchedLink>();
    for (const link of found) {
      links.set(link.index, { ...link, number: this.#interfaces.length });
      const { linkType } = link;
      this.#interfaces.push({ name: `${name}:${link.name}`, linkType, snapshot: CaptureSocket.SNAPSHOT });
    }
    this.#wires.push({ socket: openCapture(netns, { links: found, promiscuous: false }), links });
  }
}

/** Where frames are captured in a lab. */
function placesIn(lab: string): Place[] {
  const { anchor, hosts } = requireRecord(lab);
  const outside = { name: 'fabric', netns: namespacesOf(anchor).net };
  return [
    outside,
    ...hosts.flatMap(({ name, anchor: own, links }) => {
      const host = new LabHost(name, own);
      const within = links.length > 0 ? [] : namesIn(host.path('/run/netns'));
      return [
        { name, netns: host.netnsFile },
        ...within.map(inner => ({ name: `${name}/${inner}`, netns: host.path(`/run/netns/${inner}`) })),
      ];
    }),
  ];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
