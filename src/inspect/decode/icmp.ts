/** ICMP and ICMPv6 with neighbor discovery. */
import type { Reader } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import {
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  readLinkAddress,
} from '../../base/neighbor-messages.ts';
import { addLayer, type Decoding, type Next, payloadIn } from './decoding.ts';
import type { IcmpLayer, Icmpv6Layer, Layer } from './layers.ts';

const UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;
const REDIRECT = 5;
const ECHOES = [0, 8];
/** Unreachable, source quench, redirect, time exceeded, parameter problem. */
const ERRORS = [UNREACHABLE, 4, REDIRECT, 11, 12];

/** RFC 792; RFC 1191, section 4 for the MTU. */
export function readIcmp(reader: Reader, decoding: Decoding): Next | undefined {
  const head = { type: reader.u8(), code: reader.u8(), checksum: reader.u16be() };
  const layer = { layer: 'icmp', ...head } as const;
  if (ECHOES.includes(head.type)) return readEcho(reader, layer, decoding);
  if (!ERRORS.includes(head.type)) return readOther(reader, layer, decoding);
  if (head.type === REDIRECT) {
    const gateway = Ip.fromBytes(reader.bytes(4));
    return readQuoted(reader, { ...layer, gateway }, decoding);
  }
  reader.skip(2);
  const mtu = reader.u16be();
  const isMtu = head.type === UNREACHABLE && head.code === FRAGMENTATION_NEEDED;
  return readQuoted(reader, { ...layer, ...(isMtu ? { mtu } : {}) }, decoding);
}

const ECHOES_V6 = [128, 129];
/** Types below are errors. */
const FIRST_INFORMATION = 128;
const TOO_BIG = 2;
/** Router solicitation to redirect: bytes of the fixed part after the first 8, with addresses. RFC 4861, section 4. */
const DISCOVERY: Readonly<Record<number, number>> = { 133: 0, 134: 8, 135: 16, 136: 16, 137: 32 };

/** RFC 4443. */
export function readIcmpv6(reader: Reader, decoding: Decoding): Next | undefined {
  const head = { type: reader.u8(), code: reader.u8(), checksum: reader.u16be() };
  const layer = { layer: 'icmpv6', ...head } as const;
  if (ECHOES_V6.includes(head.type)) return readEcho(reader, layer, decoding);
  const fixed = DISCOVERY[head.type];
  if (fixed !== undefined) {
    reader.skip(4);
    const body = reader.sub(fixed, 'neighbor discovery');
    const isNeighbor = head.type === NEIGHBOR_SOLICITATION || head.type === NEIGHBOR_ADVERTISEMENT;
    const target = isNeighbor ? { target: Ip.fromBytes(body.bytes(16)) } : {};
    const mac = readLinkAddress(reader);
    addLayer(decoding, { ...layer, ...target, ...(mac === undefined ? {} : { mac }) });
    return undefined;
  }
  if (head.type >= FIRST_INFORMATION || head.type === 0) return readOther(reader, layer, decoding);
  const word = reader.u32be();
  const mtu = head.type === TOO_BIG ? { mtu: word } : {};
  return readQuoted(reader, { ...layer, ...mtu }, decoding);
}

type Begun = { readonly layer: 'icmp' | 'icmpv6' } & Record<'type' | 'code' | 'checksum', number>;

function readEcho(reader: Reader, begun: Begun, decoding: Decoding): Next {
  addLayer(decoding, { ...begun, id: reader.u16be(), sequence: reader.u16be() });
  return payloadIn(reader);
}

function readOther(reader: Reader, begun: Begun, decoding: Decoding): Next {
  addLayer(decoding, begun);
  return payloadIn(reader);
}

/** The packet that an error is about, as far as it is there. */
function readQuoted(reader: Reader, error: IcmpLayer | Icmpv6Layer, decoding: Decoding): Next {
  const quoted: Layer[] = [];
  addLayer(decoding, { ...error, quoted });
  return { name: 'ip', reader, isInside: true, into: quoted };
}
