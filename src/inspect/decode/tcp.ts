/** TCP. */
import type { Reader } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import { addLayer, type Decoding, type Next, payloadIn } from './decoding.ts';
import { TCP_FLAGS } from './layers.ts';

const TCP_HEADER = 20;

/** RFC 9293, section 3.1. */
export function readTcp(reader: Reader, decoding: Decoding): Next | undefined {
  const sourcePort = reader.u16be();
  const destinationPort = reader.u16be();
  const begin = { layer: 'tcp', sourcePort, destinationPort, sequence: reader.u32be() } as const;
  // An ICMP error need not quote any more.
  if (reader.remaining === 0) {
    addLayer(decoding, begin);
    return undefined;
  }
  const acknowledgement = reader.u32be();
  const word = reader.u16be();
  const headerLength = (word >>> 12) * 4;
  const window = reader.u16be();
  const checksum = reader.u16be();
  reader.skip(2);
  if (headerLength < TCP_HEADER)
    throw new CodecError('TCP header', 12, `a length of at least ${TCP_HEADER}`, `${headerLength}`);
  const mss = mssIn(reader.sub(Math.min(headerLength - TCP_HEADER, reader.remaining), 'TCP options'));
  const flags = TCP_FLAGS.filter((_, bit) => (word & (1 << bit)) !== 0);
  addLayer(decoding, {
    ...begin,
    acknowledgement,
    flags,
    window,
    checksum,
    ...(mss === undefined ? {} : { mss }),
  });
  return payloadIn(reader);
}

/** Kinds of options without a length, and the one that is looked for. */
const END = 0;
const NOTHING = 1;
const MSS = 2;

function mssIn(options: Reader): number | undefined {
  while (options.remaining > 1) {
    const kind = options.u8();
    if (kind === END) return undefined;
    if (kind === NOTHING) continue;
    const length = options.u8();
    if (kind === MSS && length === 4 && options.remaining >= 2) return options.u16be();
    if (length < 2 || length - 2 > options.remaining) return undefined;
    options.skip(length - 2);
  }
  return undefined;
}
