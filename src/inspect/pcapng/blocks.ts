/**
 * Blocks of a capture file (draft-ietf-opsawg-pcapng), in the host's byte order:
 *
 *     type u32 | length u32 | body, options | length u32
 *
 * An option is a code u16, a length u16 and a value; everything is padded to 4 bytes.
 */
import type { Writer } from '../../base/bytes.ts';
import type { LinkType } from '../decode/decode-frame.ts';

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;

/** Readers learn the byte order from it. */
const BYTE_ORDER = 0x1a2b3c4d;
/** The length of the section is not known. */
const UNKNOWN_LENGTH = 0xffff_ffff_ffff_ffffn;

const END_OF_OPTIONS = 0;
const COMMENT = 1;
const SECTION_APPLICATION = 4;
const INTERFACE_NAME = 2;
const INTERFACE_RESOLUTION = 9;
const PACKET_FLAGS = 2;
/** Times count in 10^-9 s. */
const NANOSECONDS = Uint8Array.of(9);

/** https://www.tcpdump.org/linktypes.html: an Ethernet frame, and an IPv4 or IPv6 packet without anything before it. */
const LINKTYPES: Readonly<Record<LinkType, number>> = { ethernet: 1, ip: 101 };

export interface PcapngInterface {
  readonly name: string;
  readonly linkType: LinkType;
  /** The longest part of a frame that is kept. */
  readonly snapshot: number;
}

export interface PcapngPacket {
  /** Number of its interface, in the order in which they were described. */
  readonly interface: number;
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly bytes: Uint8Array;
  /** On the wire. */
  readonly length: number;
  readonly direction: 'in' | 'out';
  readonly reception?: 'unicast' | 'multicast' | 'broadcast' | 'promiscuous';
  readonly comment: string;
}

/** @param application that writes the file, with its version. */
export function writeSectionHeader(writer: Writer, application: string): void {
  block(writer, SECTION_HEADER, () => {
    writer.u32(BYTE_ORDER).u16(1).u16(0).u64(UNKNOWN_LENGTH);
    text(writer, SECTION_APPLICATION, application);
    option(writer, END_OF_OPTIONS);
  });
}

export function writeInterface(writer: Writer, { name, linkType, snapshot }: PcapngInterface): void {
  block(writer, INTERFACE_DESCRIPTION, () => {
    writer.u16(LINKTYPES[linkType]).u16(0).u32(snapshot);
    text(writer, INTERFACE_NAME, name);
    option(writer, INTERFACE_RESOLUTION, NANOSECONDS);
    option(writer, END_OF_OPTIONS);
  });
}

const DIRECTIONS = { in: 1, out: 2 } as const;
/** From the third bit on. */
const RECEPTIONS = { unicast: 1 << 2, multicast: 2 << 2, broadcast: 3 << 2, promiscuous: 4 << 2 } as const;

export function writeEnhancedPacket(writer: Writer, packet: PcapngPacket): void {
  const { time, bytes, length, direction, reception, comment } = packet;
  block(writer, ENHANCED_PACKET, () => {
    writer
      .u32(packet.interface)
      .u32(Number(time >> 32n))
      .u32(Number(time & 0xffff_ffffn));
    writer.u32(bytes.byteLength).u32(length).bytes(bytes).align(4);
    writer.u16(PACKET_FLAGS).u16(4);
    writer.u32(DIRECTIONS[direction] + (reception === undefined ? 0 : RECEPTIONS[reception]));
    text(writer, COMMENT, comment);
    option(writer, END_OF_OPTIONS);
  });
}

/** @param writer whose length is a multiple of 4, as it is after every block. */
function block(writer: Writer, type: number, body: () => void): void {
  const start = writer.length;
  writer.u32(type).u32(0);
  body();
  const length = writer.length + 4 - start;
  writer.patchU32(start + 4, length);
  writer.u32(length);
}

function option(writer: Writer, code: number, value = new Uint8Array()): void {
  writer.u16(code).u16(value.byteLength).bytes(value).align(4);
}

const LONGEST_TEXT = 2000;
const encoder = new TextEncoder();

/** What is empty is left out. */
function text(writer: Writer, code: number, value: string): void {
  const short = value.slice(0, LONGEST_TEXT).toWellFormed();
  if (short !== '') option(writer, code, encoder.encode(short));
}
