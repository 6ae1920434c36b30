/** IPv4 and IPv6 with its extension headers. */
import type { Reader } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { addLayer, type Decoding, type HeaderName, type Next, payloadIn } from './decoding.ts';
import { isExtension, readExtension } from './ipv6-extension.ts';

/** A packet of the family that its first four bits name. */
export function readIp(reader: Reader): Next {
  const start = reader.offset;
  const version = reader.u8() >>> 4;
  reader.seek(start);
  if (version === 4) return { name: 'ipv4', reader };
  if (version === 6) return { name: 'ipv6', reader };
  throw new CodecError('IP packet', start, 'version 4 or 6', `${version}`);
}

/** include/uapi/linux/in.h, in6.h: numbers of protocols; IPv4 and IPv6 are packets in packets. */
const PROTOCOLS: Readonly<Record<number, HeaderName>> = {
  1: 'icmp',
  4: 'ipv4',
  6: 'tcp',
  17: 'udp',
  41: 'ipv6',
  58: 'icmpv6',
};

/** @param protocol of IPv4, or the last "next header" of IPv6. */
function dataOf(reader: Reader, protocol: number): Next {
  const name = PROTOCOLS[protocol] ?? 'payload';
  return name === 'ipv4' || name === 'ipv6' ? { name, reader, isInside: true } : { name, reader };
}

const LEAST_HEADER = 20;

/** RFC 791, section 3.1. */
export function readIpv4(reader: Reader, decoding: Decoding): Next {
  const first = reader.u8();
  const headerLength = (first & 0x0f) * 4;
  if (first >>> 4 !== 4 || headerLength < LEAST_HEADER)
    throw new CodecError('IPv4 header', 0, 'version 4, at least 5 words', `0x${first.toString(16)}`);
  const tos = reader.u8();
  const totalLength = reader.u16be();
  const id = reader.u16be();
  const fragment = reader.u16be();
  const fragmentOffset = (fragment & 0x1fff) * 8;
  const ttl = reader.u8();
  const protocol = reader.u8();
  const checksum = reader.u16be();
  const source = Ip.fromBytes(reader.bytes(4));
  const destination = Ip.fromBytes(reader.bytes(4));
  addLayer(decoding, {
    layer: 'ipv4',
    source,
    destination,
    ttl,
    protocol,
    tos,
    id,
    headerLength,
    totalLength,
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset,
    checksum,
  });
  if (totalLength !== 0 && totalLength < headerLength)
    throw new CodecError('IPv4 header', 2, `a length of at least ${headerLength}`, `${totalLength}`);
  reader.skip(headerLength - LEAST_HEADER);
  const body = bodyOf(reader, totalLength === 0 ? undefined : totalLength - headerLength, 'IPv4 packet');
  // Only a first fragment begins with the header of the next layer.
  return fragmentOffset > 0 ? payloadIn(body) : dataOf(body, protocol);
}

/** RFC 8200, section 3. */
export function readIpv6(reader: Reader, decoding: Decoding): Next {
  const first = reader.u32be();
  if (first >>> 28 !== 6) throw new CodecError('IPv6 header', 0, 'version 6', `${first >>> 28}`);
  const payloadLength = reader.u16be();
  let nextHeader = reader.u8();
  const hopLimit = reader.u8();
  const source = Ip.fromBytes(reader.bytes(16));
  const destination = Ip.fromBytes(reader.bytes(16));
  addLayer(decoding, {
    layer: 'ipv6',
    source,
    destination,
    hopLimit,
    nextHeader,
    payloadLength,
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
  });
  const body = bodyOf(reader, payloadLength === 0 ? undefined : payloadLength, 'IPv6 packet');
  while (isExtension(nextHeader)) {
    const { layer, isLaterFragment } = readExtension(body, nextHeader);
    addLayer(decoding, layer);
    if (isLaterFragment) return payloadIn(body);
    nextHeader = layer.nextHeader;
  }
  return dataOf(body, nextHeader);
}

/**
 * What belongs to the packet: Ethernet pads short frames, and the end may be cut off.
 *
 * @param length undefined where the header does not say it: a packet of more than 64 KiB, before it is cut into pieces.
 */
const bodyOf = (reader: Reader, length: number | undefined, what: string): Reader =>
  reader.sub(Math.min(reader.remaining, length ?? reader.remaining), what);
