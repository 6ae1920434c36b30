/** A line chart with two logarithmic axes, as an SVG document that looks right on light and dark pages. */

export interface Plot {
  readonly title: string;
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
const MARGIN = { left: 78, right: 110, top: 44, bottom: 56 } as const;
/** Told apart also by those who do not see all colours (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7'] as const;

/** Maps a range of values to a range of pixels, by orders of magnitude. */
interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

export function plotLines(plot: Plot): string {
  const drawn = plot.series.filter(({ points }) => points.length > 0);
  const points = drawn.flatMap(series => series.points);
  const x = scale(
    points.map(([value]) => value),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const y = scale(
    points.map(([, value]) => value),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    text(MARGIN.left, 24, plot.title, 'start', 'font-weight="bold" font-size="15"'),
    ...x.ticks.flatMap(value => [
      line(x(value), MARGIN.top, x(value), HEIGHT - MARGIN.bottom, '#dddddd'),
      text(x(value), HEIGHT - MARGIN.bottom + 20, number(value), 'middle'),
    ]),
    ...y.ticks.flatMap(value => [
      line(MARGIN.left, y(value), WIDTH - MARGIN.right, y(value), '#dddddd'),
      text(MARGIN.left - 8, y(value) + 4, number(value), 'end'),
    ]),
    text((MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 12, plot.x, 'middle'),
    text(0, 0, plot.y, 'middle', `transform="translate(18 ${HEIGHT / 2}) rotate(-90)"`),
    ...drawn.flatMap(({ name, points: path }, index) => {
      const colour = COLOURS[index % COLOURS.length] ?? COLOURS[0];
      const pixels = path.map(([px, py]) => [x(px).toFixed(1), y(py).toFixed(1)] as const);
      const [lastX, lastY] = pixels.at(-1) ?? ['0', '0'];
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2.5" points="${pixels.map(pair => pair.join(',')).join(' ')}"/>`,
        ...pixels.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="4" fill="${colour}"/>`),
        text(Number(lastX) + 10, Number(lastY) + 4, name, 'start', `style="fill:${colour}"`),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}

function scale(values: readonly number[], from: number, to: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(Math.log10) as [number, number];
  // A single value stands in the middle of its own order of magnitude.
  const [low, high] = most > least ? [least, most] : [least - 0.5, least + 0.5];
  const map = (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  const ticks: number[] = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    for (const digit of [1, 2, 5]) {
      const value = digit * 10 ** power;
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) ticks.push(value);
    }
  }
  return Object.assign(map, { ticks });
}

const number = (value: number) => value.toLocaleString('en-US');

function line(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(value => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${colour}"/>`;
}

function text(x: number, y: number, content: string, anchor: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222222" ${attributes}>${escaped}</text>`;
}
