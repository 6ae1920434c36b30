/**
 * Layers of frames as `tulle capture -n -v` prints them (src/inspect/capture/tree.ts), read back, so that a picture shows
 * the very frame that a page shows as text. What is not printed has its usual value: an IPv4 header of 20 bytes.
 */
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { type Layer, type LayerName, TCP_FLAGS } from '../../src/inspect/decode/layers.ts';

/** One list per frame, in the order of the text. @throws ParseError for an address that is none: capture with `-n` */
export function capturedLayers(text: string): Layer[][] {
  const frames: Layer[][] = [];
  for (const line of text.split('\n')) {
    if (FRAME.test(line)) frames.push([]);
    const [, name = '', fields = ''] = LAYER.exec(line) ?? [];
    const read = READERS[name as LayerName];
    if (read !== undefined) frames.at(-1)?.push(read(fields));
  }
  return frames;
}

const FRAME = /^\s*\d\d:\d\d:\d\d\.\d+ /;
const LAYER = /^\s+([a-z\d-]+)\s*(.*)$/;

const numberAfter = (fields: string, name: string): number => {
  const [, value] = new RegExp(`(?:^|, )${name} (0x[\\da-f]+|\\d+)`).exec(fields) ?? [];
  return value === undefined ? 0 : Number(value);
};

/** `a > b, ...` */
function pairIn<T>(
  fields: string,
  parse: (text: string) => T,
): { readonly source: T; readonly destination: T } {
  const [, from = '', to = ''] = /^(\S+) > ([^\s,]+)/.exec(fields) ?? [];
  return { source: parse(from), destination: parse(to) };
}

function portsIn(fields: string): { readonly sourcePort: number; readonly destinationPort: number } {
  const { source, destination } = pairIn(fields, Number);
  return { sourcePort: source, destinationPort: destination };
}

/** What both versions have. */
function icmpIn(fields: string) {
  const [, sequence] = /^echo (?:request|reply) (\d+)/.exec(fields) ?? [];
  const [, mtu] = /MTU (\d+)/i.exec(fields) ?? [];
  return {
    type: numberAfter(fields, 'type'),
    code: numberAfter(fields, 'code'),
    checksum: numberAfter(fields, 'checksum'),
    ...(sequence === undefined ? {} : { id: numberAfter(fields, 'id'), sequence: Number(sequence) }),
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
  };
}

const READERS: Readonly<Partial<Record<LayerName, (fields: string) => Layer>>> = {
  ethernet: fields => ({
    layer: 'ethernet',
    ...pairIn(fields, text => Mac.parse(text)),
    type: numberAfter(fields, 'type'),
  }),
  vlan: fields => ({
    layer: 'vlan',
    id: numberAfter(fields, 'id'),
    priority: numberAfter(fields, 'priority'),
    type: numberAfter(fields, 'type'),
  }),
  arp: fields => {
    const [, sender = '', senderMac = ''] = /sender (\S+) ([\da-f:]+)/.exec(fields) ?? [];
    const [, target = '', targetMac = ''] = /target (\S+) ([\da-f:]+)/.exec(fields) ?? [];
    return {
      layer: 'arp',
      operation: numberAfter(fields, 'operation'),
      sender: Ip.parse(sender),
      senderMac: Mac.parse(senderMac),
      target: Ip.parse(target),
      targetMac: Mac.parse(targetMac),
    };
  },
  ipv4: fields => ({
    layer: 'ipv4',
    ...pairIn(fields, text => Ip.parse(text)),
    ttl: numberAfter(fields, 'ttl'),
    protocol: numberAfter(fields, 'protocol'),
    totalLength: numberAfter(fields, 'length'),
    id: numberAfter(fields, 'id'),
    tos: numberAfter(fields, 'tos'),
    headerLength: 20,
    dontFragment: fields.includes('may not be fragmented'),
    moreFragments: fields.includes('more fragments'),
    fragmentOffset: numberAfter(fields, 'fragment at'),
    checksum: numberAfter(fields, 'checksum'),
  }),
  ipv6: fields => ({
    layer: 'ipv6',
    ...pairIn(fields, text => Ip.parse(text)),
    hopLimit: numberAfter(fields, 'hop limit'),
    nextHeader: numberAfter(fields, 'next header'),
    payloadLength: numberAfter(fields, 'payload'),
    trafficClass: numberAfter(fields, 'class'),
    flowLabel: numberAfter(fields, 'flow'),
  }),
  icmp: fields => ({ layer: 'icmp', ...icmpIn(fields) }),
  icmpv6: fields => ({ layer: 'icmpv6', ...icmpIn(fields) }),
  tcp: fields => ({
    layer: 'tcp',
    ...portsIn(fields),
    sequence: numberAfter(fields, 'seq'),
    acknowledgement: numberAfter(fields, 'ack'),
    flags: TCP_FLAGS.filter(flag => new RegExp(`\\b${flag}\\b`).test(fields)),
    window: numberAfter(fields, 'window'),
    checksum: numberAfter(fields, 'checksum'),
    ...(fields.includes('mss ') ? { mss: numberAfter(fields, 'mss') } : {}),
  }),
  udp: fields => ({
    layer: 'udp',
    ...portsIn(fields),
    length: numberAfter(fields, 'length'),
    checksum: numberAfter(fields, 'checksum'),
  }),
  vxlan: fields => ({
    layer: 'vxlan',
    vni: numberAfter(fields, 'vni'),
    flags: numberAfter(fields, 'flags'),
  }),
  'flannel-udp': () => ({ layer: 'flannel-udp' }),
  payload: fields => ({ layer: 'payload', length: Number.parseInt(fields, 10) }),
};
