/** Packets for tests of the forwarder, made byte by byte from what a test says about them. */
import { written } from '../base/bytes.ts';
import { Ip } from '../base/ip.ts';
import { internetChecksum, sumOf } from '../forwarder/packet/checksum.ts';
import { PacketMemory } from '../sys/packet-memory.ts';

export interface IpFields {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly ttl?: number;
  readonly tos?: number;
  /** Of IPv4. */
  readonly id?: number;
  /** Flags and offset of IPv4; default: may not be fragmented. */
  readonly fragment?: number;
  /** Options of IPv4, a multiple of 4 bytes. */
  readonly options?: Uint8Array;
}

const NONE = new Uint8Array();

/** A packet of the family of its addresses. */
export function ipPacket(fields: IpFields, data: Uint8Array): Uint8Array {
  const { protocol, ttl = 64, tos = 0, id = 0, fragment = 0x4000, options = NONE } = fields;
  const [from, to] = [Ip.parse(fields.from), Ip.parse(fields.to)];
  if (from.family === 'ipv6') {
    return written(writer =>
      writer
        .u32be((6 * 0x1000_0000 + tos * 0x10_0000) >>> 0)
        .u16be(data.length)
        .u8(protocol)
        .u8(ttl)
        .bytes(from.bytes)
        .bytes(to.bytes)
        .bytes(data),
    );
  }
  const length = 20 + options.length;
  const packet = written(writer =>
    writer
      .u8(0x40 + length / 4)
      .u8(tos)
      .u16be(length + data.length)
      .u16be(id)
      .u16be(fragment)
      .u8(ttl)
      .u8(protocol)
      .u16be(0)
      .bytes(from.bytes)
      .bytes(to.bytes)
      .bytes(options)
      .bytes(data),
  );
  setChecksum(packet, 10, packet.subarray(0, length));
  return packet;
}

export interface TcpFields extends Omit<IpFields, 'protocol'> {
  readonly ports?: readonly [number, number];
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly tcpOptions?: Uint8Array;
}

/** A TCP segment with right checksums. */
export function tcpPacket(fields: TcpFields, payload: Uint8Array): Uint8Array {
  const { ports = [40_000, 5001], sequence = 0, acknowledgement = 1, flags = 0x10, window = 512 } = fields;
  const options = fields.tcpOptions ?? NONE;
  const segment = written(writer =>
    writer
      .u16be(ports[0])
      .u16be(ports[1])
      .u32be(sequence >>> 0)
      .u32be(acknowledgement >>> 0)
      .u8(((20 + options.length) / 4) << 4)
      .u8(flags)
      .u16be(window)
      .u16be(0)
      .u16be(0)
      .bytes(options)
      .bytes(payload),
  );
  setChecksum(segment, 16, pseudoHeader(fields, 6, segment));
  return ipPacket({ ...fields, protocol: 6 }, segment);
}

/** A UDP datagram with right checksums. */
export function udpPacket(
  fields: Omit<IpFields, 'protocol'> & { readonly ports?: readonly [number, number] },
  payload: Uint8Array,
): Uint8Array {
  const [source, destination] = fields.ports ?? [40_000, 53];
  const datagram = written(writer =>
    writer
      .u16be(source)
      .u16be(destination)
      .u16be(8 + payload.length)
      .u16be(0)
      .bytes(payload),
  );
  setChecksum(datagram, 6, pseudoHeader(fields, 17, datagram));
  return ipPacket({ ...fields, protocol: 17 }, datagram);
}

/** What the checksum of a transport protocol covers. */
function pseudoHeader(fields: Pick<IpFields, 'from' | 'to'>, protocol: number, data: Uint8Array): Uint8Array {
  return written(writer =>
    writer
      .bytes(Ip.parse(fields.from).bytes)
      .bytes(Ip.parse(fields.to).bytes)
      .u32be(data.length)
      .u32be(protocol)
      .bytes(data),
  );
}

function setChecksum(bytes: Uint8Array, at: number, covered: Uint8Array): void {
  const memory = new PacketMemory(covered.length + 4);
  memory.bytes.set(covered);
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(
    at,
    internetChecksum(sumOf(memory, 0, covered.length)),
  );
}
