/**
 * Groups of horizontal bars as an SVG document, for values of a few named things side by side. Like the line chart in
 * plot.ts it brings its own background, and every bar has its value in figures, so colour carries nothing alone.
 */
export interface Bars {
  readonly title: string;
  readonly groups: readonly {
    /** What is measured, with the unit. */
    readonly title: string;
    /** At least 0; undefined where it was not measured. */
    readonly values: readonly { readonly name: string; readonly value: number | undefined }[];
  }[];
  /** Digits after the point. */
  readonly digits: number;
}

const WIDTH = 720;
const LEFT = 150;
const RIGHT = 70;
const ROW = 22;
const HEAD = 40;
const GROUP = 30;
const COLOURS = ['#0072b2', '#d55e00', '#007a5a', '#a8487c', '#7a6a00', '#56606b'];

export function plotBars({ title, groups, digits }: Bars): string {
  const parts: string[] = [];
  let top = HEAD;
  for (const group of groups) {
    parts.push(text(LEFT, top + 16, group.title, 'start', '#444444'));
    top += GROUP;
    const most = Math.max(...group.values.map(({ value = 0 }) => value), Number.MIN_VALUE);
    for (const [index, { name, value }] of group.values.entries()) {
      const length = ((value ?? 0) / most) * (WIDTH - LEFT - RIGHT);
      parts.push(
        text(LEFT - 8, top + 14, name, 'end', '#222222'),
        `<rect x="${LEFT}" y="${top + 2}" width="${length.toFixed(1)}" height="${ROW - 6}" rx="2" fill="${COLOURS[index % COLOURS.length]}"/>`,
        text(
          LEFT + length + 6,
          top + 14,
          value === undefined ? '-' : value.toFixed(digits),
          'start',
          '#222222',
        ),
      );
      top += ROW;
    }
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top + 12}" role="img" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
    `<text x="16" y="26" fill="#222222" font-weight="bold" font-size="15">${escaped(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, anchor: string, colour: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}">${escaped(content)}</text>`;
}

const escaped = (content: string) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
