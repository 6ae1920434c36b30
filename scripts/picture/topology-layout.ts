/**
 * Where the parts of a topology stand: hosts side by side, in each the boxes in rows and columns, and below all hosts
 * the wires between them.
 *
 *     row 0     [ns1]   [ns2]            a box stands below all that are joined to it,
 *     row 1     [  docker0  ]            and is as wide as they are together
 *     last      [   eth0    ]            links that lead out of the host share the last row
 */

import { FONT_SIZE, textWidth } from './svg.ts';
import type { BoxPicture, HostPicture, LinePicture, TopologyPicture } from './topology-picture.ts';

export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface TopologyLayout {
  readonly hosts: ReadonlyMap<HostPicture, Area>;
  /** `docker1/eth0` -> the box. */
  readonly boxes: ReadonlyMap<string, Area>;
  readonly right: number;
  readonly bottom: number;
}

export const LINE = 18;
export const SMALL = 12;
export const MARGIN = 18;
const PADDING = 12;
const ROW_GAP = 26;
const COLUMN_GAP = 22;
const HOST_GAP = 36;
const LEAST_BOX = 84;
/** Of a line beside another. */
const SLOT = 30;
/** Of a cable or a tunnel on both sides of its name. */
const LABEL_MARGIN = 20;

/** @throws Error for a name that is not there, and for boxes that would cover each other. */
export function layOut(picture: TopologyPicture): TopologyLayout {
  const placed = picture.hosts.map(host => placeBoxes(host));
  const heights = rowHeights(placed, picture.lines ?? []);
  const tops = heights.map(
    (_, row) => heights.slice(0, row).reduce((sum, height) => sum + height + ROW_GAP, 0) + MARGIN,
  );
  const lastRow = heights.length - 1;
  const head = Math.max(...picture.hosts.map(({ lines = [] }) => LINE * (1 + lines.length))) + PADDING;
  const height = (tops[lastRow] ?? MARGIN) + (heights[lastRow] ?? 0) - MARGIN + head + PADDING * 2;

  const hosts = new Map<HostPicture, Area>();
  const boxes = new Map<string, Area>();
  let x = MARGIN;
  for (const [index, { host, places, columns }] of placed.entries()) {
    const edges = columnEdges(host, places, columns, picture.lines ?? []);
    const inner = Math.max(edges.at(-1)?.right ?? 0, labelWidth([host.name], host.lines));
    hosts.set(host, { x, y: MARGIN, width: inner + PADDING * 2, height });
    for (const { box, row, from, to } of places) {
      const at = isUplink(box) ? lastRow : row;
      const [left, right] = [edges[from]?.left ?? 0, edges[to]?.right ?? 0];
      boxes.set(`${host.name}/${box.name}`, {
        x: x + PADDING + left,
        y: (tops[at] ?? MARGIN) + head + PADDING,
        width: right - left,
        height: heights[at] ?? 0,
      });
    }
    const next = picture.hosts[index + 1];
    const between = next === undefined ? 0 : gapAfter(host, next, picture.lines ?? []);
    x += inner + PADDING * 2 + between;
  }
  return { hosts, boxes, right: x, bottom: MARGIN + height };
}

interface Place {
  readonly box: BoxPicture;
  readonly row: number;
  /** Columns, both included. */
  readonly from: number;
  readonly to: number;
}

interface PlacedHost {
  readonly host: HostPicture;
  readonly places: readonly Place[];
  readonly columns: number;
}

const joinsOf = ({ to = [] }: BoxPicture): readonly string[] => (typeof to === 'string' ? [to] : to);
const isUplink = ({ kind }: BoxPicture): boolean => kind === 'link';

/** Boxes that nothing is joined to take a column each, in their order; the others stand below theirs. */
function placeBoxes(host: HostPicture): PlacedHost {
  const byName = new Map(host.boxes.map(box => [box.name, box]));
  const above = (box: BoxPicture) => host.boxes.filter(other => joinsOf(other).includes(box.name));
  for (const name of host.boxes.flatMap(joinsOf)) {
    if (!byName.has(name)) throw new Error(`${host.name} has no ${name} to join`);
  }
  const found = new Map<BoxPicture, Place>();
  let columns = 0;
  const place = (box: BoxPicture, depth = 0): Place => {
    if (depth > host.boxes.length) throw new Error(`${host.name}: ${box.name} is joined to itself`);
    const known = found.get(box);
    if (known !== undefined) return known;
    const others = above(box).map(other => place(other, depth + 1));
    const column = others.length === 0 ? columns++ : 0;
    const result: Place =
      others.length === 0
        ? { box, row: 0, from: column, to: column }
        : {
            box,
            row: Math.max(...others.map(({ row }) => row)) + 1,
            from: Math.min(...others.map(({ from }) => from)),
            to: Math.max(...others.map(({ to }) => to)),
          };
    found.set(box, result);
    return result;
  };
  const places = host.boxes.map(box => place(box));
  for (const [index, one] of places.entries()) {
    const other = places
      .slice(index + 1)
      .find(({ row, from, to }) => row === one.row && from <= one.to && one.from <= to);
    if (other !== undefined) throw new Error(`${host.name}: ${one.box.name} would cover ${other.box.name}`);
  }
  return { host, places, columns };
}

/** The rows of all hosts are level with each other; uplinks have the last one. */
function rowHeights(hosts: readonly PlacedHost[], lines: readonly LinePicture[]): number[] {
  const places = hosts.flatMap(host => host.places);
  const inner = places.filter(({ box }) => !isUplink(box));
  const uplinks = places.filter(({ box }) => isUplink(box));
  const rows = Math.max(...inner.map(({ row }) => row + 1), 0);
  const slots = linesBeside(lines);
  const endsAt =
    ({ box }: Place) =>
    (line: LinePicture) =>
      line.ends.some(end => end.endsWith(`/${box.name}`));
  const heightOf = (of: readonly Place[]) => {
    const texts = of.map(({ box }) => LINE * (1 + (box.lines?.length ?? 0)) + PADDING);
    const beside = of.flatMap(place => lines.filter(endsAt(place)).map(line => slots.get(line)?.of ?? 1));
    const most = Math.max(1, ...beside);
    return Math.max(0, ...texts, most === 1 ? 0 : most * SLOT);
  };
  const heights = Array.from({ length: rows }, (_, row) =>
    heightOf(inner.filter(place => place.row === row)),
  );
  return uplinks.length === 0 ? heights : [...heights, heightOf(uplinks)];
}

/** Which of the lines between the same two hosts each is, and how many there are: they leave their boxes one below another. */
export function linesBeside(lines: readonly LinePicture[]): Map<LinePicture, { at: number; of: number }> {
  const hostsOf = ({ ends }: LinePicture) => ends.map(end => end.split('/')[0]).join(' ');
  const groups = Map.groupBy(lines, hostsOf);
  return new Map(
    [...groups.values()].flatMap(group => group.map((line, at) => [line, { at, of: group.length }])),
  );
}

export function labelWidth(bold: readonly string[], lines: readonly string[] = []): number {
  return Math.max(
    ...bold.map(text => textWidth(text, FONT_SIZE)),
    ...lines.map(text => textWidth(text, SMALL)),
    0,
  );
}

/** Columns as wide as what stands in them, relative to the inside of the host. */
function columnEdges(
  host: HostPicture,
  places: readonly Place[],
  columns: number,
  lines: readonly LinePicture[],
): { readonly left: number; readonly right: number }[] {
  const widths = Array.from({ length: columns }, () => LEAST_BOX);
  const gaps = Array.from({ length: Math.max(0, columns - 1) }, (_, index) =>
    cableGap(host, places, index, lines),
  );
  // The narrow ones first: a wide one then widens the columns below which it stands.
  for (const { box, from, to } of places.toSorted((a, b) => a.to - a.from - (b.to - b.from))) {
    const spanned = widths.slice(from, to + 1).reduce((sum, width) => sum + width, 0);
    const between = gaps.slice(from, to).reduce((sum, gap) => sum + gap, 0);
    const missing = labelWidth([box.name], box.lines) + PADDING * 2 - spanned - between;
    if (missing <= 0) continue;
    for (let column = from; column <= to; column++) {
      widths[column] = (widths[column] ?? 0) + missing / (to - from + 1);
    }
  }
  let left = 0;
  return widths.map((width, index) => {
    const edges = { left, right: left + width };
    left = edges.right + (gaps[index] ?? 0);
    return edges;
  });
}

/** Between two columns there is room for the name of the cable that crosses it. */
function cableGap(
  host: HostPicture,
  places: readonly Place[],
  index: number,
  lines: readonly LinePicture[],
): number {
  const columnOf = (end: string) => places.find(({ box }) => end === `${host.name}/${box.name}`)?.from;
  const crossing = lines.filter(({ ends }) => {
    const columns = ends.map(columnOf);
    return columns.includes(index) && columns.includes(index + 1);
  });
  return Math.max(COLUMN_GAP, ...crossing.map(widthOfLine));
}

/** As it is where several are beside each other: on one line of text. */
export const lineText = ({ name, lines = [] }: LinePicture): string => [name, ...lines].join(', ');

const widthOfLine = (line: LinePicture) => labelWidth([lineText(line)]) + LABEL_MARGIN;

/** Between two hosts there is room for the name of the line that begins with them. */
function gapAfter(host: HostPicture, next: HostPicture, lines: readonly LinePicture[]): number {
  const isOn = (end: string | undefined, { name }: HostPicture) => end?.startsWith(`${name}/`) === true;
  const direct = lines.filter(({ ends }) => isOn(ends[0], host) && isOn(ends[1], next));
  return Math.max(HOST_GAP, ...direct.map(widthOfLine));
}
