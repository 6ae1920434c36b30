/**
 * A line chart with two logarithmic axes, as an SVG document. It brings its own background, so it looks the same on
 * light and dark pages; lines differ by colour, dashes and marks, so it can be read in grey as well.
 */
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../base/errors.ts';
import { CommandError } from '../console/errors.ts';

export interface Plot {
  readonly title: string;
  /** What the axes count, with the unit. */
  readonly x: string;
  readonly y: string;
  readonly series: readonly {
    readonly name: string;
    /** Both coordinates above zero. */
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}

const WIDTH = 720;
const HEIGHT = 440;
const MARGIN = { left: 78, top: 44, bottom: 56 } as const;
const FONT_SIZE = 13;
/** Pixels that a character takes, and that two lines of text need. */
const CHARACTER = 8.8;
const LINE = 17;

/** Distinguishable without colour vision, too (after Okabe and Ito), and dark enough for text on white. */
const LOOKS = [
  { colour: '#0072b2', dashes: '', mark: circle },
  { colour: '#d55e00', dashes: '9 4', mark: square },
  { colour: '#007a5a', dashes: '2 4', mark: diamond },
  { colour: '#a8487c', dashes: '9 4 2 4', mark: triangle },
] as const;

/** Maps a range of values to a range of pixels, by orders of magnitude. */
interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

export function plotLines(plot: Plot): string {
  const drawn = plot.series.filter(({ points }) => points.length > 0);
  const points = drawn.flatMap(series => series.points);
  const right = WIDTH - 24 - CHARACTER * Math.max(0, ...drawn.map(({ name }) => name.length));
  const x = scale(
    points.map(([value]) => value),
    MARGIN.left,
    right,
  );
  const y = scale(withinTicks(points.map(([, value]) => value)), HEIGHT - MARGIN.bottom, MARGIN.top);
  const ends = drawn.map(({ points: path }) => path.at(-1) ?? ([1, 1] as const));
  const labels = apart(ends.map(([, value]) => y(value)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" font-family="sans-serif" font-size="${FONT_SIZE}">`,
    `<title>${escaped(`${plot.title}: ${plot.y} over ${plot.x}`)}</title>`,
    '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
    text(MARGIN.left, 24, plot.title, 'start', 'font-weight="bold" font-size="15"'),
    ...x.ticks.flatMap(value => [
      line(x(value), MARGIN.top, x(value), HEIGHT - MARGIN.bottom),
      text(x(value), HEIGHT - MARGIN.bottom + 20, number(value), 'middle'),
    ]),
    ...y.ticks.flatMap(value => [
      line(MARGIN.left, y(value), right, y(value)),
      text(MARGIN.left - 8, y(value) + 4, number(value), 'end'),
    ]),
    text((MARGIN.left + right) / 2, HEIGHT - 12, plot.x, 'middle'),
    text(0, 0, plot.y, 'middle', `transform="translate(18 ${HEIGHT / 2}) rotate(-90)"`),
    ...drawn.flatMap(({ name, points: path }, index) => {
      const { colour, dashes, mark } = LOOKS[index % LOOKS.length] ?? LOOKS[0];
      const pixels = path.map(([px, py]) => [x(px), y(py)] as const);
      const way = pixels.map(pair => pair.map(value => value.toFixed(1)).join(',')).join(' ');
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dashes}" points="${way}"/>`,
        ...pixels.map(([px, py]) => `<path fill="${colour}" d="${mark(px, py)}"/>`),
        text(
          x(ends[index]?.[0] ?? 1) + 12,
          (labels[index] ?? 0) + 4,
          name,
          'start',
          `style="fill:${colour}" font-weight="bold"`,
        ),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}

/** The values and the ticks around them, so that no line leaves the grid; a single value stays alone. */
function withinTicks(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (!(most > least)) return [...values];
  return [...values, tickBelow(least), ...(tickBelow(most) === most ? [] : [tickAbove(most)])];
}

const power = (value: number) => 10 ** Math.floor(Math.log10(value) + 1e-9);

const tickBelow = (value: number) =>
  ([5, 2].find(digit => digit * power(value) <= value * (1 + 1e-9)) ?? 1) * power(value);

const tickAbove = (value: number) =>
  ([2, 5].find(digit => digit * power(value) >= value * (1 - 1e-9)) ?? 10) * power(value);

function scale(values: readonly number[], from: number, to: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(Math.log10) as [number, number];
  // A single value stands in the middle of its own order of magnitude.
  const [low, high] = most > least ? [least, most] : [least - 0.5, least + 0.5];
  const map = (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  const ticks: number[] = [];
  for (let exponent = Math.floor(low); exponent <= Math.ceil(high); exponent++) {
    for (const digit of [1, 2, 5]) {
      const value = digit * 10 ** exponent;
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) ticks.push(value);
    }
  }
  return Object.assign(map, { ticks });
}

/** Heights of labels that would overlap, moved apart as little as their order allows; none leaves the picture. */
function apart(heights: readonly number[]): number[] {
  const moved = [...heights];
  const order = moved.map((_, index) => index).sort((a, b) => (moved[a] ?? 0) - (moved[b] ?? 0));
  for (let round = 0; round < heights.length * 4; round++) {
    for (const [place, index] of order.slice(1).entries()) {
      const above = order[place] ?? 0;
      const missing = LINE - ((moved[index] ?? 0) - (moved[above] ?? 0));
      if (missing <= 0.01) continue;
      moved[above] = (moved[above] ?? 0) - missing / 2;
      moved[index] = (moved[index] ?? 0) + missing / 2;
    }
  }
  return moved.map(height => Math.min(HEIGHT - LINE, Math.max(LINE, height)));
}

function circle(x: number, y: number): string {
  return `M${(x - 4).toFixed(1)} ${y.toFixed(1)}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z`;
}

function square(x: number, y: number): string {
  return `M${(x - 4).toFixed(1)} ${(y - 4).toFixed(1)}h8v8h-8z`;
}

function diamond(x: number, y: number): string {
  return `M${x.toFixed(1)} ${(y - 5).toFixed(1)}l5 5l-5 5l-5 -5z`;
}

function triangle(x: number, y: number): string {
  return `M${x.toFixed(1)} ${(y - 5).toFixed(1)}l5 9h-10z`;
}

const number = (value: number) => value.toLocaleString('en-US');

function line(x1: number, y1: number, x2: number, y2: number): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(value => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="#dddddd"/>`;
}

function text(x: number, y: number, content: string, anchor: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222222" ${attributes}>${escaped(content)}</text>`;
}

const escaped = (content: string) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/**
 * Refuses `--svg <file>` before the measurement when there will be nothing to draw, or nowhere to write it.
 *
 * @param missing what has to be measured for the drawing and is not, with the option that asks for it.
 * @throws CommandError
 */
export async function checkDrawing(file: string | undefined, missing: string | undefined): Promise<void> {
  if (file === undefined) return;
  if (missing !== undefined)
    throw new CommandError('USAGE', `--svg: there is nothing to draw without ${missing}`);
  try {
    await access(dirname(file), constants.W_OK);
  } catch (error) {
    throw new CommandError('USAGE', `--svg: ${file} cannot be written: ${messageOf(error)}`);
  }
}
