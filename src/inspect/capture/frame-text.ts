/** A captured frame for a person, and for a script. */
import { printable } from '../../base/printable.ts';
import { formatJson, paint } from '../../console/output.ts';
import { wrap } from '../../console/table.ts';
import type { CapturedFrame } from '../../sys/capture-socket.ts';
import type { Layer } from '../decode/layers.ts';
import type { CaptureLink } from './capture-links.ts';
import { type HostNameOf, shortForm } from './short-form.ts';
import { treeOf } from './tree.ts';

/** A frame, the link it was seen on, and its layers. */
export interface SeenFrame {
  readonly frame: CapturedFrame;
  readonly link: CaptureLink;
  readonly layers: readonly Layer[];
}

export const directionOf = ({ type }: CapturedFrame): 'in' | 'out' => (type === 'outgoing' ? 'out' : 'in');

/** Microseconds since the epoch fit a number until the year 2255. */
const MICROSECOND = 1000n;

/** ISO 8601 with microseconds. */
function timeText(nanoseconds: bigint): string {
  const micros = Number(nanoseconds / MICROSECOND);
  const seconds = new Date(Math.floor(micros / 1e6) * 1000).toISOString().slice(0, -'.000Z'.length);
  return `${seconds}.${String(micros % 1e6).padStart(6, '0')}Z`;
}

/** `12:00:01.123` of an ISO text. */
const TIME_OF_DAY = ['2026-01-01T'.length, '2026-01-01T12:00:01.123'.length] as const;

export interface LineOptions {
  readonly nameOf: HostNameOf;
  /** Columns for the name of the link. */
  readonly linkWidth: number;
}

/** `12:00:01.123 eth0 out docker1 > docker2 vni 88 | ...`, folded to the width of the terminal. */
export function frameLine(seen: SeenFrame, { nameOf, linkWidth }: LineOptions): string {
  const { frame, link } = seen;
  const time = timeText(frame.time).slice(...TIME_OF_DAY);
  const where = `${link.name.padEnd(linkWidth)} ${directionOf(frame).padEnd(3)}`;
  return wrap(`${paint('dim', time)} ${where} ${frameText(seen, nameOf)}`, time.length + where.length + 2);
}

/** Columns that what is folded of a layer begins after. */
const HANGING = 10;

/** The line and below it a line for each layer. */
export function frameTree(seen: SeenFrame, options: LineOptions): string {
  const lines = treeOf(seen.layers, options.nameOf).map(line => wrap(line, HANGING));
  return [frameLine(seen, options), ...lines].join('\n');
}

/** The short form of the layers, and what is missing of them. */
export function frameText({ frame, layers }: SeenFrame, nameOf: HostNameOf): string {
  const captured = frame.bytes.byteLength;
  const cut = captured < frame.length ? ` (${captured} of ${frame.length} bytes)` : '';
  return printable(`${shortForm(layers, nameOf)}${cut}`);
}

/** One JSON document without line breaks. */
export function frameJson({ frame, link, layers }: SeenFrame): string {
  return formatJson({
    time: timeText(frame.time),
    link: link.name,
    direction: directionOf(frame),
    length: frame.length,
    captured: frame.bytes.byteLength,
    layers,
  });
}
