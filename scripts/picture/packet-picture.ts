/**
 * The layers of one frame as a picture, from the outside in:
 *
 *     | Ethernet | IPv4 | UDP | VXLAN | Ethernet | IPv4 | ICMP | data |
 *      '------- underlay: 50 -------'  '------ overlay: 98 ---------'
 *     Ethernet  from ...  to ...  type ...
 *     IPv4      ...
 *       Ethernet  ...
 */
import { innerStart, type Layer } from '../../src/inspect/decode/layers.ts';
import { type LayerText, layerText, sizesOf } from './packet-layers.ts';
import { element, svgDocument, textAt, textWidth } from './svg.ts';
import { ENGLISH, type PacketWords } from './words.ts';

export interface PacketPicture {
  /** Not printed: a page says it in its own language. */
  readonly title: string;
  /** As `decodeFrame` gives them. */
  readonly layers: readonly Layer[];
  /** Whose an address is: `{ '192.168.65.3': 'docker1' }`. */
  readonly owners?: Readonly<Record<string, string>>;
  readonly words?: PacketWords;
}

interface DrawnLayer extends LayerText {
  readonly size: number | undefined;
  /** Steps inside tunnels. */
  readonly depth: number;
}

const MARGIN = 18;
const STRIP = 46;
const BRACE = 44;
const ROW = 58;
const GAP = 6;
const STEP = 28;
/** Of the column with the names of the layers. */
const NAME = 112;
const SMALL = 11;
const PADDING = 10;

export function packetPicture({ title, layers, owners = {}, words = ENGLISH }: PacketPicture): string {
  const sizes = sizesOf(layers);
  const inner = innerStart(layers) ?? layers.length;
  const drawn = layers.map((layer, index): DrawnLayer => {
    const text = layerText(layer, layers);
    const name = layer.layer === 'payload' ? words.data : text.name;
    return { ...text, name, size: sizes[index], depth: index >= inner ? 1 : 0 };
  });
  const isTunnelled = inner < layers.length;
  const strip = stripOf(drawn, words);
  const rowsTop = MARGIN + STRIP + (isTunnelled ? BRACE : GAP * 2);
  const rows = drawn.map((layer, index) => rowOf(layer, rowsTop + index * (ROW + GAP), owners, words));
  const right = Math.max(strip.right, ...rows.map(({ right: end }) => end));
  return svgDocument({
    title,
    description: descriptionOf(drawn, words),
    width: right + MARGIN,
    height: rowsTop + drawn.length * (ROW + GAP) - GAP + MARGIN,
    content: [
      ...strip.content,
      ...(isTunnelled ? bracesOf(drawn, strip.edges, inner, words) : []),
      ...rows.flatMap(row => row.draw(right)),
    ],
  });
}

function descriptionOf(layers: readonly DrawnLayer[], words: PacketWords): string {
  return layers
    .map(({ name, size }) => (size === undefined ? name : `${name} (${words.bytes(size)})`))
    .join(', ');
}

interface Strip {
  readonly content: readonly string[];
  /** Left of every layer, and the right of the last. */
  readonly edges: readonly number[];
  readonly right: number;
}

/** The frame as it is sent: a cell per layer, side by side. */
function stripOf(layers: readonly DrawnLayer[], words: PacketWords): Strip {
  const edges = [MARGIN];
  const content = layers.flatMap(({ name, role, size }) => {
    const left = edges.at(-1) ?? MARGIN;
    const bytes = size === undefined ? '' : words.bytes(size);
    const width = Math.max(textWidth(name), textWidth(bytes, SMALL)) + PADDING * 2;
    edges.push(left + width);
    const middle = { role, anchor: 'middle' } as const;
    return [
      element('rect', { class: `box ${role}`, x: left, y: MARGIN, width, height: STRIP - 4 }),
      textAt(left + width / 2, MARGIN + 18, name, { ...middle, weight: 'bold' }),
      textAt(left + width / 2, MARGIN + 34, bytes, { ...middle, size: SMALL }),
    ];
  });
  return { content, edges, right: edges.at(-1) ?? MARGIN };
}

/** What the tunnel has added, and what is in it. */
function bracesOf(
  layers: readonly DrawnLayer[],
  edges: readonly number[],
  inner: number,
  words: PacketWords,
): string[] {
  const brace = (from: number, to: number, say: (bytes: number) => string): string[] => {
    const [left = MARGIN, right = MARGIN] = [edges[from], edges[to]];
    const sizes = layers.slice(from, to).map(({ size }) => size ?? 0);
    const y = MARGIN + STRIP + 2;
    return [
      element('path', { class: 'line host', d: `M${left + 3} ${y}v6h${right - left - 6}v-6` }),
      textAt((left + right) / 2, y + 22, say(sizes.reduce((sum, size) => sum + size, 0)), {
        anchor: 'middle',
        quiet: true,
      }),
    ];
  };
  return [...brace(0, inner, words.outer), ...brace(inner, layers.length, words.inner)];
}

interface DrawnRow {
  /** Where its text ends. */
  readonly right: number;
  readonly draw: (right: number) => string[];
}

/** A layer with its fields: the name of each above its value, and below it whose or what that is. */
function rowOf(
  { name, role, size, depth, fields }: DrawnLayer,
  top: number,
  owners: Readonly<Record<string, string>>,
  words: PacketWords,
): DrawnRow {
  const left = MARGIN + depth * STEP;
  let x = left + Math.max(NAME, textWidth(name) + PADDING * 2);
  const head = x;
  const cells = fields.flatMap(({ name: key, value, means }) => {
    const label = words.fields[key];
    const note = owners[value] ?? means ?? '';
    const at = x + PADDING;
    x = at + Math.max(textWidth(value), textWidth(label, SMALL), textWidth(note, SMALL)) + PADDING;
    return [
      textAt(at, top + 15, label, { role, size: SMALL }),
      textAt(at, top + 33, value, { role, weight: 'bold' }),
      ...(note === '' ? [] : [textAt(at, top + 49, note, { role, size: SMALL })]),
    ];
  });
  const bytes = size === undefined ? '' : words.bytes(size);
  const border = { class: `line ${role}`, d: `M${head} ${top + 8}v${ROW - 16}`, 'stroke-opacity': 0.4 };
  return {
    right: x,
    draw: right => [
      element('rect', { class: `box ${role}`, x: left, y: top, width: right - left, height: ROW, rx: 6 }),
      textAt(left + PADDING, top + 27, name, { role, weight: 'bold' }),
      ...(bytes === '' ? [] : [textAt(left + PADDING, top + 44, bytes, { role, size: SMALL })]),
      ...(fields.length === 0 ? [] : [element('path', border)]),
      ...cells,
    ],
  };
}
