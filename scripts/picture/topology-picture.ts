/**
 * Hosts, what is in them, and what joins them, as a picture: data in, SVG out. A box of a host is a container, a bridge,
 * a tunnel device, a link to the underlay or a program; wires are the underlay, lines are cables and tunnels.
 */

import { element, type Role, svgDocument, textAt } from './svg.ts';
import {
  type Area,
  LINE,
  labelWidth,
  layOut,
  linesBeside,
  lineText,
  MARGIN,
  SMALL,
  type TopologyLayout,
} from './topology-layout.ts';

export interface BoxPicture {
  readonly name: string;
  readonly kind: 'container' | 'bridge' | 'tunnel' | 'link' | 'program';
  /** Addresses, MTU: what is worth to be known of it. */
  readonly lines?: readonly string[];
  /** Boxes of the same host that it is joined to, and that stand below it. */
  readonly to?: string | readonly string[];
}

export interface HostPicture {
  readonly name: string;
  readonly lines?: readonly string[];
  readonly boxes: readonly BoxPicture[];
}

/** A segment of the underlay; its ends are links, as `docker1/eth0`. */
export interface WirePicture {
  readonly name: string;
  readonly lines?: readonly string[];
  readonly ends: readonly string[];
}

/** From box to box: a cable, or a tunnel over the underlay, with one end per host in the order of the hosts. */
export interface LinePicture {
  readonly kind: 'cable' | 'tunnel';
  readonly name: string;
  readonly lines?: readonly string[];
  readonly ends: readonly string[];
}

export interface TopologyPicture {
  /** Not printed: a page says it in its own language. */
  readonly title: string;
  /** For who cannot see it; by default the hosts and wires by name. */
  readonly description?: string;
  /** From left to right. */
  readonly hosts: readonly HostPicture[];
  readonly wires?: readonly WirePicture[];
  readonly lines?: readonly LinePicture[];
}

const WIRE_GAP = 52;

/** @throws Error for an end that is not there, and for boxes that would cover each other. */
export function topologyPicture(picture: TopologyPicture): string {
  const layout = layOut(picture);
  const wires = wireLevels(picture.wires ?? [], layout);
  const levels = Math.max(0, ...wires.map(({ level }) => level + 1));
  const right = Math.max(layout.right, ...wires.map(({ middle, text }) => middle + text / 2));
  return svgDocument({
    title: picture.title,
    description: picture.description ?? descriptionOf(picture),
    width: right + MARGIN,
    height: layout.bottom + levels * WIRE_GAP + MARGIN,
    content: [
      ...picture.hosts.flatMap(host => frameOf(host, layout)),
      ...wires.flatMap(wire => drawWire(wire, layout)),
      ...(picture.lines ?? []).flatMap(line => drawLine(line, picture, layout)),
      ...picture.hosts.flatMap(({ name, boxes }) => boxes.flatMap(box => drawBox(box, name, layout))),
      ...(picture.lines ?? []).flatMap(line => nameLine(line, picture, layout)),
    ],
  });
}

function descriptionOf({ hosts, wires = [] }: TopologyPicture): string {
  const parts = hosts.map(({ name, boxes }) => `${name}: ${boxes.map(box => box.name).join(', ')}`);
  return [...parts, ...wires.map(({ name, ends }) => `${name} joins ${ends.join(', ')}`)].join('; ');
}

const boxAt = ({ boxes }: TopologyLayout, end: string): Area => {
  const area = boxes.get(end);
  if (area === undefined) throw new Error(`there is no ${end} in the picture`);
  return area;
};

const middleOf = ({ x, width }: Area) => x + width / 2;

function frameOf(host: HostPicture, { hosts }: TopologyLayout): string[] {
  const area = hosts.get(host);
  if (area === undefined) return [];
  const [first, ...more] = [host.name, ...(host.lines ?? [])];
  return [
    element('rect', { class: 'box host', ...area, rx: 10 }),
    textAt(area.x + 12, area.y + 22, first ?? '', { weight: 'bold' }),
    ...more.map((line, index) =>
      textAt(area.x + 12, area.y + 22 + LINE * (index + 1), line, { quiet: true, size: SMALL }),
    ),
  ];
}

/** The box and the lines down to what it is joined to. */
function drawBox(box: BoxPicture, host: string, layout: TopologyLayout): string[] {
  const area = boxAt(layout, `${host}/${box.name}`);
  const { kind: role, lines = [], to = [] } = box;
  const height = LINE * (1 + lines.length);
  const foot = area.y + (area.height - height) / 2 + 13;
  const style = { role, anchor: 'middle' } as const;
  const x = middleOf(area);
  const joins = (typeof to === 'string' ? [to] : to).map(name => boxAt(layout, `${host}/${name}`));
  return [
    ...joins.map(({ y }) => {
      const bottom = area.y + area.height;
      return element('path', { class: 'line host', d: `M${x} ${bottom}V${y}` });
    }),
    element('rect', { class: `box ${role}`, ...area, rx: 6 }),
    textAt(x, foot, box.name, { ...style, weight: 'bold' }),
    ...lines.map((line, index) => textAt(x, foot + LINE * (index + 1), line, { ...style, size: SMALL })),
  ];
}

interface WireLevel extends WirePicture {
  readonly level: number;
  readonly left: number;
  readonly right: number;
  readonly middle: number;
  readonly text: number;
}

/** Wires whose ends do not overlap are level with each other. */
function wireLevels(wires: readonly WirePicture[], layout: TopologyLayout): WireLevel[] {
  const placed: WireLevel[] = [];
  for (const wire of wires) {
    const ends = wire.ends.map(end => middleOf(boxAt(layout, end)));
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    const text = labelWidth([[wire.name, ...(wire.lines ?? [])].join('  ')]);
    // A wire is at least as long as its name; the page begins at the margin.
    const middle = Math.max((first + last) / 2, MARGIN + text / 2);
    const [left, right] = [Math.min(first, middle - text / 2), Math.max(last, middle + text / 2)];
    let level = 0;
    while (placed.some(other => other.level === level && other.left <= right && left <= other.right)) level++;
    placed.push({ ...wire, level, left, right, middle, text });
  }
  return placed;
}

function drawWire(wire: WireLevel, layout: TopologyLayout): string[] {
  const y = layout.bottom + WIRE_GAP * (wire.level + 1) - 8;
  return [
    ...wire.ends.map(end => {
      const area = boxAt(layout, end);
      return element('path', { class: 'line wire', d: `M${middleOf(area)} ${area.y + area.height}V${y}` });
    }),
    element('path', { class: 'line wire', d: `M${wire.left} ${y}H${wire.right}`, 'stroke-width': 4 }),
    textAt(wire.middle, y - 10, [wire.name, ...(wire.lines ?? [])].join('  '), {
      role: 'wire',
      anchor: 'middle',
    }),
  ];
}

const ROLES = { cable: 'host', tunnel: 'tunnel' } as const satisfies Record<LinePicture['kind'], Role>;

/** Pairs of neighbouring ends, with the sides that face each other. */
function stretchesOf(line: LinePicture, picture: TopologyPicture, layout: TopologyLayout) {
  const { at, of } = linesBeside(picture.lines ?? []).get(line) ?? { at: 0, of: 1 };
  const heightIn = ({ y, height }: Area) => y + (height * (at + 1)) / (of + 1);
  return line.ends.slice(1).map((end, index) => {
    const [one, two] = [boxAt(layout, line.ends[index] ?? ''), boxAt(layout, end)];
    return {
      from: { x: one.x + one.width, y: heightIn(one) },
      to: { x: two.x, y: heightIn(two) },
    };
  });
}

function drawLine(line: LinePicture, picture: TopologyPicture, layout: TopologyLayout): string[] {
  const dashes = line.kind === 'tunnel' ? ' dashed' : '';
  return stretchesOf(line, picture, layout).map(({ from, to }) =>
    element('path', {
      class: `line ${ROLES[line.kind]}${dashes}`,
      d: `M${from.x} ${from.y}L${to.x} ${to.y}`,
    }),
  );
}

/** On the first stretch, between the hosts where it goes from one to another. */
function nameLine(line: LinePicture, picture: TopologyPicture, layout: TopologyLayout): string[] {
  const [first] = stretchesOf(line, picture, layout);
  if (first === undefined) return [];
  const { from, to } = first;
  const frames = [...layout.hosts.values()];
  const holder = ({ x }: { readonly x: number }) =>
    frames.find(frame => frame.x <= x && x <= frame.x + frame.width);
  const [one, two] = [holder(from), holder(to)];
  const isWithin = one === undefined || two === undefined || one === two;
  const style = { role: ROLES[line.kind], anchor: 'middle' } as const;
  const x = isWithin ? (from.x + to.x) / 2 : (one.x + one.width + two.x) / 2;
  const y = (from.y + to.y) / 2;
  return [textAt(x, y - 7, lineText(line), { ...style, weight: 'bold' })];
}
