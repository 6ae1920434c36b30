/**
 * The messages with which stations of an Ethernet find each other: ARP (RFC 826) and, in ICMPv6, neighbor solicitation
 * and advertisement (RFC 4861, sections 4.3 and 4.4). Only bytes: what a message proves is for its reader to decide.
 */
import { Reader, written } from './bytes.ts';
import { messageChecksum } from './checksum.ts';
import { Ip } from './ip.ts';
import { Mac } from './mac.ts';

/** include/uapi/linux/if_ether.h. */
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** Types of ICMPv6 messages. */
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;

/** ARP for IPv4 over Ethernet. */
export interface ArpMessage {
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly senderMac: Mac;
  readonly sender: Ip;
  readonly targetMac: Mac;
  readonly target: Ip;
}

/** Ethernet (1), IPv4, lengths of their addresses: the only kind in use. */
const ARP_OF_IPV4 = `1,${ETHERTYPE.ipv4},6,4`;

/** From the first byte of an ARP message on. @returns undefined, with nothing read, for other kinds. @throws CodecError */
export function readArpMessage(reader: Reader): ArpMessage | undefined {
  const start = reader.offset;
  const kind = [reader.u16be(), reader.u16be(), reader.u8(), reader.u8()].join();
  if (kind !== ARP_OF_IPV4) {
    reader.seek(start);
    return undefined;
  }
  return {
    operation: reader.u16be(),
    senderMac: Mac.fromBytes(reader.bytes(6)),
    sender: Ip.fromBytes(reader.bytes(4)),
    targetMac: Mac.fromBytes(reader.bytes(6)),
    target: Ip.fromBytes(reader.bytes(4)),
  };
}

/** Options that say the sender's or the target's own address: RFC 4861, section 4.6.1. */
const SOURCE_LINK_ADDRESS = 1;
const TARGET_LINK_ADDRESS = 2;
const LINK_ADDRESSES = [SOURCE_LINK_ADDRESS, TARGET_LINK_ADDRESS];
/** Of a neighbor advertisement: it replaces what is known. */
const OVERRIDE = 0x2000_0000;

/** In the options at the end of a message of neighbor discovery: a type, a length in units of 8 bytes, data. */
export function readLinkAddress(options: Reader): Mac | undefined {
  while (options.remaining >= 8) {
    const type = options.u8();
    const length = options.u8() * 8;
    if (LINK_ADDRESSES.includes(type) && length === 8) return Mac.fromBytes(options.bytes(6));
    if (length === 0 || length - 2 > options.remaining) return undefined;
    options.skip(length - 2);
  }
  return undefined;
}

/** What one frame says about who is where. */
export interface NeighborMessage {
  /** The sender says that it has this address. */
  readonly claim?: { readonly ip: Ip; readonly mac: Mac };
  /** The sender looks for the station with this address. */
  readonly wanted?: Ip;
}

const ICMPV6 = 58;
/** What crossed a router has less: RFC 4861, section 7.1.1. */
const HOP_LIMIT = 255;

/**
 * An Ethernet frame with an ARP message, or with a neighbor solicitation or advertisement right behind its IPv6 header.
 * A claim counts only from the station itself: a frame whose source is another one proves nothing.
 *
 * @returns undefined for any other frame. @throws CodecError for one that is cut off
 */
export function readNeighborMessage(frame: Uint8Array): NeighborMessage | undefined {
  const reader = new Reader(frame, 'neighbor message');
  reader.skip(6);
  const source = Mac.fromBytes(reader.bytes(6));
  const type = reader.u16be();
  if (type === ETHERTYPE.arp) return arpIn(reader, source);
  if (type === ETHERTYPE.ipv6) return discoveryIn(reader, source);
  return undefined;
}

function arpIn(reader: Reader, source: Mac): NeighborMessage | undefined {
  const message = readArpMessage(reader);
  if (message === undefined) return undefined;
  const { operation, sender, senderMac, target } = message;
  const isWanted = operation === 1 && !target.equals(sender);
  return { ...claimOf(sender, senderMac, source), ...(isWanted ? { wanted: target } : {}) };
}

function discoveryIn(reader: Reader, source: Mac): NeighborMessage | undefined {
  reader.skip(6);
  const [next, hopLimit] = [reader.u8(), reader.u8()];
  const from = Ip.fromBytes(reader.bytes(16));
  reader.skip(16);
  if (next !== ICMPV6 || hopLimit !== HOP_LIMIT) return undefined;
  const type = reader.u8();
  if (type !== NEIGHBOR_SOLICITATION && type !== NEIGHBOR_ADVERTISEMENT) return undefined;
  reader.skip(3 + 4);
  const target = Ip.fromBytes(reader.bytes(16));
  const mac = readLinkAddress(reader);
  if (type === NEIGHBOR_ADVERTISEMENT) return claimOf(target, mac, source);
  return { ...claimOf(from, mac, source), wanted: target };
}

function claimOf(ip: Ip, mac: Mac | undefined, source: Mac): NeighborMessage {
  if (mac === undefined || ip.isUnspecified || ip.isMulticast) return {};
  return mac.isUnicast && mac.equals(source) ? { claim: { ip, mac } } : {};
}

const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
const ARP_REQUEST = 1;

/**
 * A frame that asks who has `ip`, so that the answer comes to `mac`: an ARP probe (RFC 5227, section 2.1.1), which claims
 * no address, or a neighbor solicitation from the link-local address that belongs to `mac`.
 */
export function neighborProbe(ip: Ip, mac: Mac): Uint8Array {
  return ip.family === 'ipv4' ? arpProbe(ip, mac) : solicitation(ip, mac);
}

/**
 * A frame from `from` that says that `ip` has the address `mac` now, so that stations which know another one learn it: an ARP
 * announcement (RFC 5227, section 2.3), or an unsolicited neighbor advertisement to all nodes that overrides (RFC 4861, section
 * 7.2.6).
 */
export function neighborAnnouncement(ip: Ip, mac: Mac, from: Mac): Uint8Array {
  return ip.family === 'ipv4'
    ? arpRequest(ip, { from, mac, sender: ip.bytes })
    : advertisement(ip, mac, from);
}

const NOBODY = new Uint8Array(4);

const arpProbe = (ip: Ip, mac: Mac) => arpRequest(ip, { from: mac, mac, sender: NOBODY });

function arpRequest(
  ip: Ip,
  { from, mac, sender }: { readonly from: Mac; readonly mac: Mac; readonly sender: Uint8Array },
): Uint8Array {
  return written(writer =>
    writer
      .bytes(BROADCAST)
      .bytes(from.bytes)
      .u16be(ETHERTYPE.arp)
      .u16be(1)
      .u16be(ETHERTYPE.ipv4)
      .u8(6)
      .u8(4)
      .u16be(ARP_REQUEST)
      .bytes(mac.bytes)
      .bytes(sender)
      .zeros(6)
      .bytes(ip.bytes),
  );
}

function solicitation(ip: Ip, mac: Mac): Uint8Array {
  // The group of the stations whose address ends so: RFC 4291, section 2.7.1. Its MAC address: RFC 2464, section 7.
  const end = ip.bytes.subarray(13);
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...end);
  return discovery({
    to: [Uint8Array.of(0x33, 0x33, 0xff, ...end), group],
    from: [mac.bytes, linkLocalOf(mac)],
    type: NEIGHBOR_SOLICITATION,
    flags: 0,
    target: ip,
    option: [SOURCE_LINK_ADDRESS, mac],
  });
}

function advertisement(ip: Ip, mac: Mac, from: Mac): Uint8Array {
  const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  return discovery({
    to: [Uint8Array.of(0x33, 0x33, 0, 0, 0, 1), allNodes],
    from: [from.bytes, ip.bytes],
    type: NEIGHBOR_ADVERTISEMENT,
    flags: OVERRIDE,
    target: ip,
    option: [TARGET_LINK_ADDRESS, mac],
  });
}

/** A message of neighbor discovery in its frame; `to` and `from` are the MAC and the IPv6 address. */
function discovery({
  to: [toMac, to],
  from: [fromMac, from],
  type,
  flags,
  target,
  option: [option, mac],
}: {
  readonly to: readonly [Uint8Array, Uint8Array];
  readonly from: readonly [Uint8Array, Uint8Array];
  readonly type: number;
  readonly flags: number;
  readonly target: Ip;
  readonly option: readonly [number, Mac];
}): Uint8Array {
  const addresses = Uint8Array.of(...from, ...to);
  const message = (checksum: number) =>
    written(writer =>
      writer
        .u8(type)
        .u8(0)
        .u16be(checksum)
        .u32be(flags)
        .bytes(target.bytes)
        .u8(option)
        .u8(1)
        .bytes(mac.bytes),
    );
  const { length } = message(0);
  // The addresses, the length and the protocol are summed too: RFC 8200, section 8.1.
  const summed = written(writer => writer.bytes(addresses).u32be(length).u32be(ICMPV6).bytes(message(0)));
  return written(writer =>
    writer
      .bytes(toMac)
      .bytes(fromMac)
      .u16be(ETHERTYPE.ipv6)
      .u32be(6 * 0x1000_0000)
      .u16be(length)
      .u8(ICMPV6)
      .u8(HOP_LIMIT)
      .bytes(addresses)
      .bytes(message(messageChecksum(summed))),
  );
}

/** RFC 4291, appendix A. */
function linkLocalOf(mac: Mac): Uint8Array {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.bytes;
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
}
