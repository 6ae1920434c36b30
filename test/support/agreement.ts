/** Compares what our decoder and tshark read in a capture file: every frame, every layer, every field. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { decodeFrame, VXLAN_PORTS } from '../../src/inspect/decode/decode-frame.ts';
import type { Layer, LayerName } from '../../src/inspect/decode/layers.ts';
import { type ReadPacket, readPcapng } from './pcapng.ts';
import { dissect } from './tshark.ts';
import { FIELD_LAYERS, fieldsOf, plain, stackOf, stackOfProtocols } from './tshark-fields.ts';

export interface Agreement {
  readonly frames: number;
  /** Layer -> how many there were, and how many values of theirs are equal. */
  readonly layers: ReadonlyMap<LayerName, { readonly count: number; readonly fields: number }>;
  /** Values about frames as a whole that are equal: when and where they were seen, and which layers they have. */
  readonly frameFields: number;
  /** The kinds of frames, as `ethernet ipv4 udp vxlan ethernet arp`. */
  readonly stacks: ReadonlySet<string>;
  /** VNIs of VXLAN. */
  readonly vnis: ReadonlySet<string>;
  /** Reason -> how many values differ for it. */
  readonly differences: ReadonlyMap<string, number>;
}

interface Compared {
  /** Wireshark's name of the field. */
  readonly name: string;
  /** Absent for what is about the frame as a whole. */
  readonly layer?: LayerName;
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
}

type Row = ReadonlyMap<string, string>;

/** Where both are right, and differ nevertheless. */
interface KnownDifference {
  readonly name: string;
  readonly reason: string;
  readonly explains: (compared: Compared, row: Row) => boolean;
}

/** Wireshark's view of the layers, and what it could not read. */
const PROTOCOLS = 'frame.protocols';

/** struct timeval of 64 bits each, of which Wireshark takes the first 8 bytes. */
const TIME = 8;

const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'data.len',
    reason: 'Wireshark takes the time that ping has put into an echo out of its data',
    explains: ({ ours, theirs }, row) =>
      row.has('icmp.data_time') && Number(ours[0]) === Number(theirs[0]) + TIME,
  },
  {
    name: PROTOCOLS,
    reason: 'Wireshark is told that flannel-udp carries IPv4, and finds IPv6',
    explains: ({ ours, theirs }) => ours.join() === theirs.join().replace('udp,ipv4,ipv6', 'udp,ipv6'),
  },
  {
    name: 'tcp.len',
    reason: 'Wireshark says how long a segment was on the wire, we how much of it is in the file',
    explains: ({ ours, theirs }, row) =>
      Number(theirs[0]) - Number(ours[0]) === Number(row.get('frame.len')) - Number(row.get('frame.cap_len')),
  },
  ...['vlan.id', 'vlan.priority', 'vlan.etype'].map(name => ({
    name,
    reason: 'to Wireshark a tag of IEEE 802.1ad is another protocol, whose type has no name',
    explains: ({ ours, theirs }: Compared, row: Row) =>
      row.has('ieee8021ad.id') &&
      ours.slice(1).join() === theirs.join() &&
      (name === 'vlan.etype' || row.get(name.replace('vlan', 'ieee8021ad')) === ours[0]),
  })),
];

/** What the file says about a frame, beside its bytes. */
const FRAME_FIELDS: Readonly<Record<string, (packet: ReadPacket) => string>> = {
  'frame.len': packet => `${packet.length}`,
  'frame.cap_len': packet => `${packet.bytes.byteLength}`,
  'frame.interface_name': packet => packet.interface.name,
  'frame.packet_flags_direction': packet => `${packet.flags & 3}`,
  'frame.packet_flags_reception_type': packet => `${(packet.flags >> 2) & 7}`,
  'frame.time_epoch': packet => secondsText(packet.time),
  'frame.comment': packet => packet.comment,
};

const NAMES = [
  ...Object.keys(FRAME_FIELDS),
  PROTOCOLS,
  'icmp.data_time',
  'ieee8021ad.id',
  'ieee8021ad.priority',
  'data.len',
  'tcp.len',
  ...FIELD_LAYERS.keys(),
];

/**
 * @param vxlanPorts beside the usual ones
 * @throws AssertionError with the values that differ without a known reason
 */
export async function agreementOn(file: string, vxlanPorts: readonly number[] = []): Promise<Agreement> {
  const ports = [...new Set([...VXLAN_PORTS, ...vxlanPorts])];
  const { packets } = readPcapng(readFileSync(file));
  const rows = await dissect(file, NAMES, ports);
  assert.equal(rows.length, packets.length, 'tshark reads as many frames');
  const layers = new Map<LayerName, { count: number; fields: number }>();
  const differences = new Map<string, number>();
  const stacks = new Set<string>();
  const vnis = new Set<string>();
  const wrong: string[] = [];
  let frameFields = 0;
  for (const [index, packet] of packets.entries()) {
    const row = rows[index] ?? new Map<string, string>();
    const seen = layersOf(packet, ports);
    const all = withQuoted(seen);
    for (const { layer } of all) tallyOf(layers, layer).count++;
    const parts = [...framePart(packet, all, row), ...layerPart(all, row), ...payloadPart(seen, row)];
    for (const compared of parts) {
      const { name, layer, ours, theirs } = compared;
      if (ours.join() === theirs.join()) {
        if (name === PROTOCOLS) stacks.add(theirs.join(' '));
        if (name === 'vxlan.vni') for (const vni of theirs) vnis.add(vni);
        if (layer === undefined) frameFields += ours.length;
        else if (ours.length > 0) tallyOf(layers, layer).fields += ours.length;
        continue;
      }
      const known = KNOWN_DIFFERENCES.find(one => one.name === name && one.explains(compared, row));
      if (known !== undefined) differences.set(known.reason, (differences.get(known.reason) ?? 0) + 1);
      else
        wrong.push(
          `frame ${index + 1} (${packet.interface.name}: ${packet.comment}): ${name} is ${theirs.join() || 'absent'}, ` +
            `we have ${ours.join() || 'nothing'}`,
        );
    }
  }
  assert.equal(wrong.length, 0, `${wrong.length} values differ:\n${wrong.slice(0, 20).join('\n')}`);
  return { frames: packets.length, layers, frameFields, stacks, vnis, differences };
}

function tallyOf(layers: Map<LayerName, { count: number; fields: number }>, name: LayerName) {
  const tally = layers.get(name) ?? { count: 0, fields: 0 };
  layers.set(name, tally);
  return tally;
}

/** An Ethernet frame, and a packet of IPv4 or IPv6: www.tcpdump.org/linktypes.html. */
const LINK_TYPES = new Map([
  [1, 'ethernet'],
  [101, 'ip'],
] as const);

function layersOf({ bytes, interface: { linkType } }: ReadPacket, vxlanPorts: readonly number[]): Layer[] {
  const begin = LINK_TYPES.get(linkType as 1 | 101);
  assert.ok(begin, `link type ${linkType}`);
  return decodeFrame(bytes, { linkType: begin, vxlanPorts });
}

/** A layer, then what it quotes. */
const withQuoted = (layers: readonly Layer[]): Layer[] =>
  layers.flatMap(layer => [layer, ...('quoted' in layer ? withQuoted(layer.quoted ?? []) : [])]);

function* framePart(packet: ReadPacket, layers: readonly Layer[], row: Row): Generator<Compared> {
  for (const [name, read] of Object.entries(FRAME_FIELDS))
    yield { name, ours: [read(packet)].filter(isText), theirs: [plain(row.get(name) ?? '')].filter(isText) };
  const protocols = protocolsIn(row);
  yield { name: PROTOCOLS, ours: stackOf(layers), theirs: stackOfProtocols(protocols) };
  const problems = layers.filter(({ layer }) => layer === 'problem').map(() => '_ws.malformed');
  yield { name: 'problems', ours: problems, theirs: protocols.filter(name => name.startsWith('_ws.')) };
}

function* layerPart(layers: readonly Layer[], row: Row): Generator<Compared> {
  const own = fieldsOf(layers);
  for (const [name, layer] of FIELD_LAYERS)
    yield { name, layer, ours: own.get(name) ?? [], theirs: valuesIn(row, name) };
}

/** Of a segment in an ICMP error Wireshark says no length, as most of it is missing. */
function* payloadPart(layers: readonly Layer[], row: Row): Generator<Compared> {
  const after = layers.flatMap(({ layer }, at) => (layer === 'tcp' ? [payloadAt(layers, at + 1)] : []));
  yield { name: 'tcp.len', layer: 'payload', ours: after, theirs: valuesIn(row, 'tcp.len') };
  // What comes behind a protocol that we do not read is not all that is payload to us.
  const [before = '', last] = protocolsIn(row).slice(-2);
  if (last !== 'data' || stackOfProtocols([before]).length === 0) return;
  const all = withQuoted(layers);
  yield {
    name: 'data.len',
    layer: 'payload',
    ours: [payloadAt(all, all.length - 1)],
    theirs: valuesIn(row, 'data.len'),
  };
}

const protocolsIn = (row: Row) => row.get(PROTOCOLS)?.split(':') ?? [];
const isText = (text: string) => text !== '';
const valuesIn = (row: Row, name: string) => (row.get(name) ?? '').split(',').filter(isText).map(plain);

/** Bytes. */
function payloadAt(layers: readonly Layer[], at: number): string {
  const layer = layers[at];
  return layer?.layer === 'payload' ? `${layer.length}` : '0';
}

const BILLION = 10n ** 9n;

/** @param time nanoseconds */
const secondsText = (time: bigint) => `${time / BILLION}.${`${time % BILLION}`.padStart(9, '0')}`;

/** In one line: how much was compared, of each layer, and what differs with a reason. */
export function agreementText({ frames, layers, frameFields, differences }: Agreement): string {
  const counts = [...layers].map(([name, { count, fields }]) => `${name} ${count} (${fields})`);
  const sum = [...layers.values()].reduce((total, { fields }) => total + fields, frameFields);
  const reasons = [...differences].map(([reason, count]) => `; ${count} differ: ${reason}`);
  return `${frames} frames, ${sum} values equal: ${counts.join(', ')}${reasons.join('')}`;
}
