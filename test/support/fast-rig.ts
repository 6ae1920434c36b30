/**
 * The four programs of the fast path, run for single packets by the real kernel (BPF_PROG_TEST_RUN) in a namespace with two
 * links, on a host that has container 10.42.1.2 and a tunnel to 192.0.2.2, behind which 10.42.2.3 is.
 */
import process from 'node:process';
import { written } from '../../src/base/bytes.ts';
import { Mac } from '../../src/base/mac.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { RingBuffer } from '../../src/bpf/ring-buffer.ts';
import { type TestPacket, type TestResult, testRun } from '../../src/bpf/test-run.ts';
import { buildFastProgram, programName } from '../../src/fastpath/programs/build.ts';
import {
  CONFIG_LAYOUT,
  FLOW_KEY,
  FLOW_LAYOUT,
  MAPS,
  REASONS,
  tunnelKey,
} from '../../src/fastpath/programs/layout.ts';
import { ROLES, type Role } from '../../src/fastpath/roles.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { type IpFields, ipPacket, tcpPacket, udpPacket } from '../../src/testing/packets.ts';

export const VNI = 4097;
export const PORT = 8472;
export const LOCAL = '10.42.1.2';
export const REMOTE = '10.42.2.3';
export const PORTS = [40_000, 80] as const;
const GENERATION = 7n;
export const UPLINK = 10;
export const HOST_END = 11;

/** Of links: the two of the container's network, those of the tunnel's ends, and those of the underlay. */
export const MACS = {
  container: '02:00:00:00:00:c0',
  gateway: '02:00:00:00:00:9a',
  vtep: '02:00:00:00:00:01',
  peerVtep: '02:00:00:00:00:02',
  uplink: '02:00:00:00:00:0a',
  peer: '02:00:00:00:00:0b',
} as const;
const FOR_EVER = 2n ** 63n;
const HOST = '192.0.2.1';
const PEER = '192.0.2.2';
const SOURCE_PORT = 51_234;

export interface PacketFields extends Partial<IpFields> {
  readonly flags?: number;
  readonly ports?: readonly [number, number];
  readonly payload?: number;
  readonly protocol?: number;
  readonly tcpOptions?: Uint8Array;
}

export type Way = 'out' | 'in';

/** The IP packet of the flow, out of the container or in. */
export function innerPacket(way: Way, fields: PacketFields = {}): Uint8Array {
  const ends = { from: LOCAL, to: REMOTE, ports: PORTS };
  const back = { from: REMOTE, to: LOCAL, ports: [PORTS[1], PORTS[0]] as const };
  const all = { ...(way === 'out' ? ends : back), ttl: 64, ...fields };
  const payload = new Uint8Array(fields.payload ?? 100).fill(0x55);
  if (all.protocol === 17) return udpPacket(all, payload);
  if (all.protocol === undefined || all.protocol === 6) return tcpPacket(all, payload);
  return ipPacket({ ...all, protocol: all.protocol }, payload);
}

export const frame = (to: string, from: string, packet: Uint8Array, type = 0x0800): Uint8Array =>
  written(writer => writer.bytes(Mac.parse(to).bytes).bytes(Mac.parse(from).bytes).u16be(type).bytes(packet));

/** What a container sends or gets. */
export const containerFrame = (way: Way, fields?: PacketFields): Uint8Array =>
  way === 'out'
    ? frame(MACS.gateway, MACS.container, innerPacket(way, fields))
    : frame(MACS.container, MACS.gateway, innerPacket(way, fields));

export interface OuterFields {
  readonly tos?: number;
  readonly id?: number;
  readonly fragment?: number;
  readonly options?: Uint8Array;
  readonly sourcePort?: number;
  readonly port?: number;
  readonly vni?: number;
  readonly flags?: number;
  readonly reserved?: number;
  readonly from?: string;
  readonly protocol?: number;
  readonly innerFrom?: string;
  readonly innerType?: number;
  /** Behind the outer packet. */
  readonly padding?: number;
}

/** What the tunnel sends or gets, as the kernel makes it. */
export function tunnelFrame(way: Way, fields: PacketFields = {}, outer: OuterFields = {}): Uint8Array {
  const [to, from] = way === 'out' ? [MACS.peer, MACS.uplink] : [MACS.uplink, MACS.peer];
  const [innerTo, innerFrom] = way === 'out' ? [MACS.peerVtep, MACS.vtep] : [MACS.vtep, MACS.peerVtep];
  const { sourcePort = SOURCE_PORT, port = PORT, vni = VNI, flags = 0x0800_0000, reserved = 0 } = outer;
  const inner = frame(
    innerTo,
    outer.innerFrom ?? innerFrom,
    innerPacket(way, { ttl: 63, ...fields }),
    outer.innerType,
  );
  const datagram = written(writer =>
    writer
      .u16be(sourcePort)
      .u16be(port)
      .u16be(16 + inner.length)
      .u16be(0)
      .u32be(flags)
      .u32be(vni * 256 + reserved)
      .bytes(inner),
  );
  const ends = way === 'out' ? { from: HOST, to: PEER } : { from: PEER, to: HOST };
  const packet = ipPacket({ protocol: 17, ...ends, ...pickOuter(outer) }, datagram);
  return written(writer => writer.bytes(frame(to, from, packet)).bytes(new Uint8Array(outer.padding ?? 0)));
}

function pickOuter({ tos = 0, id = 0x1234, fragment = 0, options, from, protocol }: OuterFields) {
  return {
    tos,
    id,
    fragment,
    ...(options && { options }),
    ...(from === undefined ? {} : { from }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

type State = ReturnType<typeof FLOW_LAYOUT.decode>;

export class FastRig implements Disposable {
  readonly #stack = new DisposableStack();
  readonly #netns = this.#stack.use(Netns.anonymous());
  readonly #maps: Readonly<Record<keyof typeof MAPS, BpfMap>>;
  readonly #ring: RingBuffer;
  readonly #programs = new Map<Role, BpfProgram>();

  private constructor() {
    const make = (name: keyof typeof MAPS) =>
      this.#stack.use(BpfMap.create({ ...MAPS[name], ...(name === 'flows' && { entries: 1024 }) }));
    const names = Object.keys(MAPS) as (keyof typeof MAPS)[];
    this.#maps = Object.fromEntries(names.map(name => [name, make(name)])) as Record<
      keyof typeof MAPS,
      BpfMap
    >;
    this.#ring = this.#stack.use(RingBuffer.over(this.#maps.unproven));
    for (const role of Object.keys(ROLES) as Role[]) {
      const program = BpfProgram.load(buildFastProgram(programName(role, VNI), this.#maps));
      this.#programs.set(role, this.#stack.use(program));
    }
  }

  static async open(): Promise<FastRig> {
    const rig = new FastRig();
    const namespaces = { net: `/proc/${process.pid}/fd/${rig.#netns.fd}` };
    const links = [
      ['uplink', UPLINK, MACS.uplink],
      // The same address: its frames are for this host, whatever link a test lets them come by.
      ['hostend', HOST_END, MACS.uplink],
    ] as const;
    for (const [name, index, mac] of links)
      await run('ip', ['link', 'add', name, 'index', `${index}`, 'address', mac, 'type', 'bridge'], {
        namespaces,
      });
    rig.clear();
    return rig;
  }

  /** As an agent leaves it that has started. */
  clear(): void {
    this.setGeneration(GENERATION);
    this.#maps.tunnels.set(tunnelKey({ port: PORT, vni: VNI }), Uint8Array.of(1));
    for (const map of [this.#maps.flows, this.#maps.cleared])
      for (const [key] of Array.from(map.entries(2000))) map.delete(key);
    this.asked();
  }

  setGeneration(generation: bigint): void {
    const ports = new Uint8Array(8);
    new DataView(ports.buffer).setUint16(2, PORT);
    this.#maps.config.set(new Uint8Array(4), CONFIG_LAYOUT.encode({ generation, ports }));
  }

  run(role: Role, bytes: Uint8Array, fields: TestPacket['fields'] = {}, repeat = 1): TestResult {
    const program = this.#programs.get(role);
    if (program === undefined) throw new Error(`no program ${role}`);
    const ifindex = ROLES[role].at === 'uplink' ? UPLINK : HOST_END;
    return this.#netns.run(() => testRun(program, { bytes, fields: { ifindex, ...fields }, repeat }));
  }

  /** What was counted while something is done. */
  reasonsOf(action: () => void): string[] {
    const counts = () =>
      REASONS.map((_, index) => {
        const key = new Uint8Array(new Uint32Array([index]).buffer);
        const values = this.#maps.reasons.valuesPerCpu(key);
        return values.reduce(
          (sum, value) => sum + new DataView(value.buffer, value.byteOffset).getUint32(0, true),
          0,
        );
      });
    const before = counts();
    action();
    return counts().flatMap((count, index) => (count === before[index] ? [] : (REASONS[index] ?? [])));
  }

  key(protocol = 6): Uint8Array {
    const vni = Uint8Array.of(VNI >> 16, VNI >> 8, VNI);
    const [localPort, remotePort] = PORTS;
    return FLOW_KEY.encode({ local: 0x0a2a0102, remote: 0x0a2a0203, localPort, remotePort, vni, protocol });
  }

  entry(protocol = 6): State | undefined {
    const value = this.#maps.flows.get(this.key(protocol));
    return value && FLOW_LAYOUT.decode(value);
  }
  set(changes: Partial<State>, protocol = 6): void {
    const now = this.entry(protocol);
    if (now === undefined) throw new Error('no entry');
    this.#maps.flows.set(this.key(protocol), FLOW_LAYOUT.encode({ ...now, ...changes }));
  }
  /** The agent says that conntrack takes any sequence number of the flow. */
  clearTcp(): void {
    this.#maps.cleared.set(this.key(), Uint8Array.of(1, 0, 0, 0));
  }
  get isClearedByAgent(): boolean {
    return this.#maps.cleared.get(this.key()) !== undefined;
  }
  /** Flows that the agent is asked to clear, since the last time. */
  asked(): Uint8Array[] {
    return this.#ring.take(100);
  }

  /** As `packets` packets in each direction leave a flow, and the agent's clearance. */
  prove(fields: PacketFields = {}, packets = 8): void {
    const { protocol = 6 } = fields;
    this.run('sent', tunnelFrame('out', fields));
    for (let count = 0; count < packets; count++) {
      this.run('transmit', containerFrame('out', fields));
      this.run('sent', tunnelFrame('out', fields));
      this.run('receive', tunnelFrame('in', fields));
      this.run('delivered', containerFrame('in', { ...fields, ttl: 62 }));
    }
    if (protocol === 6) {
      this.clearTcp();
      this.run('transmit', containerFrame('out', fields));
      this.run('sent', tunnelFrame('out', fields));
    }
    // However long the test takes.
    this.set({ sentUntil: FOR_EVER, deliveredUntil: FOR_EVER }, protocol);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
