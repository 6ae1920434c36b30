/**
 * SVG documents as text: the same input gives the same bytes. Text stays text, fonts are the reader's own, and one document
 * has the colours of both a light and a dark page.
 */

/** What a shape or a text stands for; it decides the colours. */
export type Role =
  | 'host'
  | 'container'
  | 'bridge'
  | 'tunnel'
  | 'link'
  | 'program'
  | 'wire'
  | 'ethernet'
  | 'ip'
  | 'transport'
  | 'payload';

export interface Colours {
  readonly fill: string;
  readonly line: string;
  readonly ink: string;
}

/** The page, and the text on it that explains. */
interface Palette {
  readonly page: string;
  readonly ink: string;
  readonly quiet: string;
  readonly roles: Readonly<Record<Role, Colours>>;
}

const colours = (fill: string, line: string, ink: string): Colours => ({ fill, line, ink });

export const PALETTES = {
  light: {
    page: '#ffffff',
    ink: '#0f172a',
    quiet: '#475569',
    roles: {
      host: colours('#f8fafc', '#64748b', '#0f172a'),
      container: colours('#ccfbf1', '#0f766e', '#134e4a'),
      bridge: colours('#e2e8f0', '#334155', '#0f172a'),
      tunnel: colours('#fef3c7', '#b45309', '#78350f'),
      link: colours('#dbeafe', '#1d4ed8', '#1e3a8a'),
      program: colours('#ede9fe', '#6d28d9', '#4c1d95'),
      wire: colours('#ffffff', '#1d4ed8', '#1e3a8a'),
      ethernet: colours('#dbeafe', '#1d4ed8', '#1e3a8a'),
      ip: colours('#dcfce7', '#15803d', '#14532d'),
      transport: colours('#fef3c7', '#b45309', '#78350f'),
      payload: colours('#f1f5f9', '#64748b', '#334155'),
    },
  },
  dark: {
    page: '#0f172a',
    ink: '#f1f5f9',
    quiet: '#a8b5c8',
    roles: {
      host: colours('#1a2438', '#94a3b8', '#f1f5f9'),
      container: colours('#123f3c', '#2dd4bf', '#ccfbf1'),
      bridge: colours('#334155', '#cbd5e1', '#f1f5f9'),
      tunnel: colours('#4a2c0b', '#fbbf24', '#fef3c7'),
      link: colours('#1e2f5c', '#60a5fa', '#dbeafe'),
      program: colours('#33235c', '#a78bfa', '#ede9fe'),
      wire: colours('#0f172a', '#60a5fa', '#bfdbfe'),
      ethernet: colours('#1e2f5c', '#60a5fa', '#dbeafe'),
      ip: colours('#14402a', '#4ade80', '#dcfce7'),
      transport: colours('#4a2c0b', '#fbbf24', '#fef3c7'),
      payload: colours('#273449', '#94a3b8', '#e2e8f0'),
    },
  },
} as const satisfies Readonly<Record<'light' | 'dark', Palette>>;

export type Attributes = Readonly<Record<string, string | number>>;

/** @param content what `element` and `textAt` gave. */
export function element(name: string, attributes: Attributes, ...content: readonly string[]): string {
  const words = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(shortest(value))}"`);
  const start = `<${name}${words.join('')}`;
  return content.length === 0 ? `${start}/>` : `${start}>${content.join('')}</${name}>`;
}

export interface TextStyle {
  readonly role?: Role;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  readonly weight?: 'bold';
  /** Explains what stands beside it. */
  readonly quiet?: true;
}

export const FONT_SIZE = 13;

/** One line of text whose foot is at `y`. */
export function textAt(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { role, anchor = 'start', size = FONT_SIZE, weight, quiet } = style;
  const names = ['ink', ...(role === undefined ? [] : [role]), ...(quiet ? ['quiet'] : [])];
  return element(
    'text',
    {
      class: names.join(' '),
      x,
      y,
      ...(anchor === 'start' ? {} : { 'text-anchor': anchor }),
      ...(size === FONT_SIZE ? {} : { 'font-size': size }),
      ...(weight === undefined ? {} : { 'font-weight': weight }),
    },
    escaped(content),
  );
}

/** CJK, kana, hangul and full forms take two columns (Unicode, annex 11). */
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
/** Of the size of the font: no usual monospaced font has wider characters. */
const COLUMN = 0.61;

/** Pixels that a text takes at most, whichever monospaced font the reader has. */
export function textWidth(content: string, size = FONT_SIZE): number {
  const columns = Array.from(content, character => (WIDE.test(character) ? 2 : 1));
  return columns.reduce((sum, each) => sum + each, 0) * COLUMN * size;
}

export interface SvgDocument {
  readonly title: string;
  /** What the picture shows, for who cannot see it. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly content: readonly string[];
}

export function svgDocument({ title, description, width, height, content }: SvgDocument): string {
  const [across, down] = [Math.ceil(width), Math.ceil(height)];
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width: across,
    height: down,
    viewBox: `0 0 ${across} ${down}`,
    role: 'img',
    'font-family': 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace',
    'font-size': FONT_SIZE,
  };
  const page = element('rect', { class: 'page', width: '100%', height: '100%', rx: 10 });
  const head = [
    element('title', {}, escaped(title)),
    element('desc', {}, escaped(description)),
    element('style', {}, STYLE),
  ];
  return `${element('svg', attributes, '\n', [...head, page, ...content].join('\n'), '\n')}\n`;
}

/** Rules rather than variables, which not every program that draws SVG knows. */
function rulesOf({ page, ink, quiet, roles }: Palette): string {
  const lines = Object.entries(roles).flatMap(([role, { fill, line, ink: own }]) => [
    `.box.${role}{fill:${fill};stroke:${line}}`,
    `.line.${role}{stroke:${line}}`,
    `.ink.${role}{fill:${own}}`,
  ]);
  return [`.page{fill:${page}}`, `.ink{fill:${ink}}`, `.ink.quiet{fill:${quiet}}`, ...lines].join('');
}

const STYLE =
  '.box{stroke-width:1.5}.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:7 5}' +
  `${rulesOf(PALETTES.light)}@media (prefers-color-scheme:dark){${rulesOf(PALETTES.dark)}}`;

/** Two digits after the point are enough for a pixel. */
const shortest = (value: string | number) =>
  typeof value === 'number' ? String(Number(value.toFixed(2))) : value;

const escaped = (content: string) =>
  content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    // XML 1.0 has no way to write them.
    .replaceAll(/[\p{Cc}\p{Cs}]/gu, '\ufffd');
