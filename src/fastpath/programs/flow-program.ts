/**
 * What the four programs have in common. Registers and stack:
 *
 *     R6 socket buffer | R7 frame, from its Ethernet header on | R8 entry of the flow | R9 free
 *     KEY: key of the flow
 *
 * A packet that does not take the fast path is left as it is, for the normal path: NEXT lets whatever else is attached see
 * it.
 */
import { Assembler, type MapReference } from '../../bpf/assembler.ts';
import {
  FP,
  type JumpComparison,
  type Operand,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R8,
  R9,
  type Register,
} from '../../bpf/instructions.ts';
import {
  ETHERTYPE_IPV4,
  FRAGMENT_BITS,
  IPV4,
  IPV4_SIZE,
  SKB,
  TCP_ACK,
  TCP_ENDS,
  TCP_HEADER,
  TCP_SIZE,
  TRANSPORT,
  UDP_HEADER,
  UDP_SIZE,
  VERSION_4_NO_OPTIONS,
} from './headers.ts';
import { CONFIG_LAYOUT, FLOW_KEY, FLOW_LAYOUT, type MAPS, REASONS, type Reason } from './layout.ts';

export type FlowMaps = Readonly<Record<keyof typeof MAPS, MapReference>>;

/** TC_ACT_UNSPEC and TCX_NEXT; TC_ACT_SHOT. */
export const NEXT = -1;
const DROP = 2;

/** Offsets from FP. */
export const KEY = -FLOW_KEY.size;
const REASON = KEY - 8;
/** What is below is free. */
export const FREE_STACK = REASON;

const ENTRY = FLOW_LAYOUT.at;

export class FlowProgram extends Assembler {
  readonly maps: FlowMaps;
  readonly #reasons = new Map<Reason, string>();

  constructor(maps: FlowMaps) {
    super();
    this.maps = maps;
  }

  /** Passes over what is no IPv4 packet. */
  begin(): this {
    return this.move(R6, R1).loadField(R1, R6, SKB.protocol).jumpIf(R1, '!=', ETHERTYPE_IPV4, 'next');
  }

  /** R7, with at least `length` bytes in one piece; else jumps. Forgets R1, R2. */
  frame(length: number, otherwise: string): this {
    this.loadField(R7, R6, SKB.data).loadField(R2, R6, SKB.dataEnd);
    return this.move(R1, R7).add(R1, length).jumpIf(R1, '>', R2, otherwise);
  }

  /**
   * Takes the normal path for that reason, which is counted.
   *
   * @param behind label of what is done before that. @throws RangeError for another one than the reason has already
   */
  giveUpIf(
    left: Register,
    comparison: JumpComparison,
    right: Operand,
    reason: Reason,
    behind = 'count',
  ): this {
    const known = this.#reasons.get(reason) ?? behind;
    if (known !== behind) throw new RangeError(`${reason} leads to ${known} already, not to ${behind}`);
    this.#reasons.set(reason, behind);
    return this.jumpIf(left, comparison, right, reason);
  }

  /** R9 becomes the reason that is counted at label `count`. */
  because(reason: Reason): this {
    return this.move(R9, REASONS.indexOf(reason));
  }

  /** R3 becomes the protocol of the IP packet, which must be a whole one of TCP or UDP without options. Forgets R1. */
  wantWholePacket(ip: number): this {
    this.loadField(R3, R7, IPV4.protocol, ip).jumpIf(R3, '==', TRANSPORT.udp, 'tcp or udp');
    this.jumpIf(R3, '!=', TRANSPORT.tcp, 'next').label('tcp or udp');
    this.loadField(R1, R7, IPV4.versionAndLength, ip);
    this.giveUpIf(R1, '!=', VERSION_4_NO_OPTIONS, 'fragment or options');
    this.loadField(R1, R7, IPV4.fragment, ip);
    return this.giveUpIf(R1, '&', FRAGMENT_BITS, 'fragment or options');
  }

  /**
   * KEY, of a packet from the container or to it. Forgets R1, R2, R4. Wants the protocol in R3.
   *
   * Each part is written with one store, as wide as the loads of the kernel's hash: parts of it would wait for each other.
   *
   * @param vni a number, or where the VXLAN header begins
   */
  key(
    ip: number,
    direction: 'from container' | 'to container',
    vni: number | { readonly vxlan: number },
  ): this {
    this.load(R1, R7, ip + IPV4.source.offset, 8).load(R2, R7, ip + IPV4_SIZE + UDP_HEADER.source.offset, 4);
    if (direction === 'to container') {
      this.move(R4, R1).shiftLeft(R1, 32).shiftRight(R4, 32).or(R1, R4);
      this.move(R4, R2, 32).shiftLeft(R2, 16, 32).shiftRight(R4, 16, 32).or(R2, R4, 32);
    }
    this.store(FP, KEY + FLOW_KEY.at.local.offset, R1, 8).store(
      FP,
      KEY + FLOW_KEY.at.localPort.offset,
      R2,
      4,
    );
    if (typeof vni === 'number') this.move(R1, (vni << 8) | 0, 32);
    // Behind the VNI is a zero: the place of the protocol.
    else this.load(R1, R7, vni.vxlan + 4, 4).toBigEndian(R1, 32);
    return this.or(R1, R3, 32)
      .toBigEndian(R1, 32)
      .store(FP, KEY + FLOW_KEY.at.vni.offset, R1, 4);
  }

  /** A packet that begins or ends a connection, or is of none, ends its flow. Forgets R1, R2. Wants the protocol in R3. */
  endOfConnection(ip: number, behind: 'forget' | 'count' = 'forget'): this {
    const tcp = ip + IPV4_SIZE;
    this.jumpIf(R3, '!=', TRANSPORT.tcp, 'connection goes on');
    this.frame(tcp + TCP_SIZE, 'next').loadField(R1, R7, TCP_HEADER.flags, tcp);
    this.and(R1, TCP_ENDS | TCP_ACK).giveUpIf(R1, '!=', TCP_ACK, 'TCP flags', behind);
    return this.label('connection goes on');
  }

  /** R8 becomes the entry of KEY; jumps where there is none. Forgets R0 to R5. */
  findFlow(none: string): this {
    this.loadMap(R1, this.maps.flows).move(R2, FP).add(R2, KEY).call('map_lookup_elem');
    return this.jumpIf(R0, '==', 0, none).move(R8, R0);
  }

  /** R1 and R2: the generation of the agent, and that of the entry in R8. */
  generations(): this {
    this.loadMapValue(R1, this.maps.config, CONFIG_LAYOUT.at.generation.offset).load(R1, R1, 0, 8);
    return this.loadField(R2, R8, ENTRY.generation);
  }

  /** Goes on at a label where `port`, as it was loaded, is one of ours. Forgets R2, R3. */
  wantPort(port: Register, ours: string, otherwise = 'next'): this {
    const { offset, size } = CONFIG_LAYOUT.at.ports;
    // A port of 0 is in no packet that anybody answers; it would be "none".
    this.jumpIf(port, '==', 0, otherwise).loadMapValue(R2, this.maps.config, offset);
    for (let at = 0; at < size; at += 2) this.load(R3, R2, at, 2).jumpIf(port, '==', R3, ours);
    return this.jump(otherwise).label(ours);
  }

  /**
   * R5 becomes the bytes of the longest IP packet on the wire: of a segment where the packet will be cut. Forgets R1, R2.
   */
  segmentLength(ip: number): this {
    this.loadField(R5, R7, IPV4.totalLength, ip).toBigEndian(R5, 16);
    this.loadField(R1, R6, SKB.gsoSize).jumpIf(R1, '==', 0, 'length is known');
    this.move(R5, R1).add(R5, IPV4_SIZE + UDP_SIZE);
    this.loadField(R2, R7, IPV4.protocol, ip).jumpIf(R2, '!=', TRANSPORT.tcp, 'length is known');
    this.frame(ip + IPV4_SIZE + TCP_SIZE, 'next').loadField(R2, R7, TCP_HEADER.dataOffset, ip + IPV4_SIZE);
    this.shiftRight(R2, 4).shiftLeft(R2, 2).loadField(R5, R6, SKB.gsoSize).add(R5, R2).add(R5, IPV4_SIZE);
    return this.label('length is known');
  }

  /** Drops the packet unless the entry is still the one that was found: see `identity`. Forgets R1, R2. */
  wantSameEntry(): this {
    for (let at = 0; at < FLOW_KEY.size; at += 8)
      this.load(R1, R8, ENTRY.identity.offset + at, 8)
        .load(R2, FP, KEY + at, 8)
        .jumpIf(R1, '!=', R2, 'drop');
    return this;
  }

  deleteFrom(map: 'flows' | 'cleared'): this {
    return this.loadMap(R1, this.maps[map]).move(R2, FP).add(R2, KEY).call('map_delete_elem');
  }
  findCleared(): this {
    return this.loadMap(R1, this.maps.cleared).move(R2, FP).add(R2, KEY).call('map_lookup_elem');
  }
  /** @param to register that becomes the address of KEY */
  addressOfKey(to: Register): this {
    return this.move(to, FP).add(to, KEY);
  }
  /** Copies KEY. @param to offset from FP */
  copyKey(to: number, scratch: Register): this {
    return this.copy([FP, KEY], [FP, to], FLOW_KEY.size, scratch);
  }

  /** Counts what R9 has, and lets the packet go on. Ends of all paths but the fast one are here. */
  ends(): this {
    for (const [reason, behind] of this.#reasons) this.label(reason).because(reason).jump(behind);
    const ways = new Set(this.#reasons.values());
    if (ways.has('forget')) this.label('forget').deleteFrom('flows').deleteFrom('cleared');
    if (ways.size > 0) {
      this.label('count')
        .store(FP, REASON, R9, 4)
        .loadMap(R1, this.maps.reasons)
        .move(R2, FP)
        .add(R2, REASON);
      this.call('map_lookup_elem').jumpIf(R0, '==', 0, 'next');
      this.load(R1, R0, 0, 8).add(R1, 1).store(R0, 0, R1, 8);
    }
    return this.label('next').move(R0, NEXT).exit();
  }

  /** Where the packet has been changed already, and cannot go on. */
  dropEnd(): this {
    return this.label('drop').move(R0, DROP).exit();
  }
}
