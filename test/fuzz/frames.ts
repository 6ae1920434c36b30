/** Frames, which anybody may send to this host; and filters, which a person types. */
import { parseHex } from '../../src/base/bytes.ts';
import { CodecError, ParseError } from '../../src/base/errors.ts';
import { readNeighborMessage } from '../../src/base/neighbor-messages.ts';
import { parseFilter } from '../../src/inspect/capture/filter.ts';
import { ADDRESS_ITSELF, shortForm } from '../../src/inspect/capture/short-form.ts';
import { treeOf } from '../../src/inspect/capture/tree.ts';
import { decodeFrame, type LinkType } from '../../src/inspect/decode/decode-frame.ts';
import { layerOf } from '../../src/inspect/decode/layers.ts';
import { formatTracedPacket, readTracedPacket } from '../../src/inspect/trace/packet.ts';
import type { FuzzTarget } from './fuzz.ts';

const PING = '45000020 37c14000 4001828d bcac0300 bcac0402 0800bd26 1b730001 01020304';
const VXLAN = `a2cf5607019c 7a287947af10 0800 45000086 4fc70000 40112748 c0a84103 c0a84104
  84a912b5 007203dc 08000000 00005800 020000000004 020000000003 0800`;
const V6 = 'fd000000000000000000000000000001 fd000000000000000000000000000002';
const FRAMES: Readonly<Record<LinkType, readonly string[]>> = {
  ethernet: [
    `${VXLAN} ${PING}`,
    `020000000004 020000000003 8100 0064 0806 0001 0800 06 04 0001 020000000003 c0a84103 000000000000 c0a84104`,
    `${VXLAN} 4500003c 00010000 40010000 0a000001 0a000002 0304 0000 0000 0578 ${PING}`,
  ],
  ip: [
    `4500003c 00010000 40110000 0a000001 0a000002 205d205d 00280000 ${PING}`,
    `60000000 0028 00 40 ${V6} 2b00050200000000 2c00000000000000 3a00 0001 0000002a 8700 0000 00000000 ${V6}`,
    '4500002c 00010000 40060000 0a000001 0a000002 9c400050 00000001 00000000 6002ffff 00000000 02040582',
  ],
};

const decodeAll = (input: Uint8Array, linkType: LinkType): boolean => {
  const layers = decodeFrame(input, { linkType });
  shortForm(layers, ADDRESS_ITSELF);
  treeOf(layers, ADDRESS_ITSELF);
  JSON.stringify(layers);
  return layerOf(layers, 'problem') === undefined;
};

export const frameTargets: readonly FuzzTarget[] = [
  ...(['ethernet', 'ip'] as const).map(linkType => ({
    name: `frames of a link of type ${linkType}`,
    seeds: FRAMES[linkType].map(parseHex),
    accepts: (input: Uint8Array) => decodeAll(input, linkType),
  })),
  {
    name: 'neighbor messages',
    seeds: [
      'ffffffffffff 020000000003 0806 0001 0800 06 04 0001 020000000003 0a090003 000000000000 0a090004',
      `3333ff000002 020000000003 86dd 60000000 0020 3a ff ${V6} 8700 0000 00000000 ${V6.split(' ')[1]} 0101 020000000003`,
      `020000000004 020000000003 86dd 60000000 0020 3a ff ${V6} 8800 0000 60000000 ${V6.split(' ')[0]} 0201 020000000003`,
    ].map(parseHex),
    accepts(input) {
      try {
        const message = readNeighborMessage(input);
        return message?.claim !== undefined || message?.wanted !== undefined;
      } catch (error) {
        if (error instanceof CodecError) return false;
        throw error;
      }
    },
  },
  {
    name: 'headers in a trace',
    seeds: FRAMES.ip.map(parseHex),
    accepts(input) {
      const seen = readTracedPacket(input.subarray(0, 20), input.subarray(20, 40));
      if (seen !== undefined) formatTracedPacket(seen.packet);
      return seen !== undefined;
    },
  },
  {
    name: 'filters of captures',
    seeds: [
      'vni 88 and inner host 10.5.1.2',
      'not (icmp or port 80) and outer from fd00::/8',
      'mac 02:00:00:00:00:01',
    ].map(text => new TextEncoder().encode(text)),
    accepts(input) {
      try {
        parseFilter(new TextDecoder().decode(input), () => undefined)([]);
        return true;
      } catch (error) {
        if (error instanceof ParseError) return false;
        throw error;
      }
    },
  },
];
