/**
 * Rows and columns of text, aligned, for terminals and for eyes that scan; scripts use `--json`. What is wider than
 * the terminal is folded between words inside its column, and columns that do not fit even then stand below.
 *
 * A cell and a fact are one line of text, wherever it comes from: what would begin another one is escaped.
 */
import { abridge, printable } from '../base/printable.ts';
import { cutWords, foldWords, uncoloured, widestWord, widthOf, wrapTo } from './fold.ts';
import { paint, screenWidth } from './output.ts';

/** More than any text of ours. `--json` has the whole. */
const MOST_CHARACTERS = 2000;

const GAP = 2;

export interface Column<Row> {
  readonly title: string;
  /** The cell's text, which may carry colour. */
  readonly cell: (row: Row) => string;
  /** Numbers are easier to compare when their last digits meet. They are not folded, only their title is. */
  readonly align?: 'left' | 'right';
  /** The title is a name: its case is kept. */
  readonly verbatim?: true;
}

/** Cells of one column, the title first. */
interface Stack {
  readonly cells: readonly string[];
  readonly align: 'left' | 'right';
  readonly width: number;
}

/** One line per row under a line of titles, without trailing spaces or newline. An empty cell shows as `-`. */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width = screenWidth(),
): string {
  const lineIn = (text: string) => (width === undefined ? oneLine(text) : cutWords(oneLine(text)));
  const stacks = columns.map(({ title, cell, align = 'left', verbatim }): Stack => {
    const name = lineIn(verbatim === true ? title : title.toUpperCase());
    const cells = [name, ...rows.map(row => lineIn(cell(row)) || '-')];
    return { cells, align, width: most(cells.map(widthOf)) };
  });
  if (width === undefined) return linesOf(stacks);
  return tablesOf(stacks, width)
    .map(table => linesOf(fitted(table, width)))
    .join('\n\n');
}

/** Facts about one thing, `name  value` per line, values aligned; entries without a value are left out. */
export function formatFacts(
  facts: readonly (readonly [string, string | undefined])[],
  indent = '',
  width = screenWidth(),
): string {
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
  const names = Math.max(0, ...known.map(([name]) => name.length));
  return known
    .map(([name, value]) => `${indent}${paint('bold', name.padEnd(names))}  ${value}`)
    .map(line => wrap(line, indent.length + names + GAP, width))
    .join('\n');
}

/** One line of a screen, broken between words; what follows is indented by `indent` columns. */
export const wrap = (line: string, indent: number, width = screenWidth()): string =>
  wrapTo(oneLine(line), indent, width);

/** The same for a command, which a shell takes when it is copied: what goes on ends with a backslash. */
export const wrapCommand = (line: string, indent: number, width = screenWidth()): string =>
  wrapTo(oneLine(line), indent, width && width - CONTINUES.length).replaceAll('\n', `${CONTINUES}\n`);

const CONTINUES = ' \\';

function oneLine(text: string): string {
  const line = printable(text);
  return line.length > MOST_CHARACTERS ? abridge(uncoloured(line), MOST_CHARACTERS) : line;
}

/** Columns side by side as far as they can be; the first, which names the row, begins every table. */
function tablesOf(stacks: readonly Stack[], width: number): Stack[][] {
  const [name, ...others] = stacks;
  if (name === undefined) return [];
  const tables: Stack[][] = [];
  for (const stack of others) {
    const last = tables.at(-1);
    if (last !== undefined && total([...last, stack].map(leastWidth)) <= width) last.push(stack);
    else tables.push([name, stack]);
  }
  return tables.length === 0 ? [[name]] : tables;
}

/** The widest columns give way until all fit, none of them below its widest word. */
function fitted(stacks: readonly Stack[], width: number): Stack[] {
  const least = stacks.map(leastWidth);
  const widths = stacks.map(stack => stack.width);
  while (total(widths) > width) {
    const spare = widths.map((of, index) => (of > (least[index] ?? 0) ? of : 0));
    const widest = spare.indexOf(most(spare));
    if (spare[widest] === 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return stacks.map((stack, index) => ({ ...stack, width: widths[index] ?? stack.width }));
}

const leastWidth = ({ cells: [title = '', ...cells], align }: Stack) =>
  Math.max(widestWord(title), most(cells.map(align === 'right' ? widthOf : widestWord)));

/** Not spread into arguments: a cluster has more rows than a call may have arguments. */
const most = (numbers: readonly number[]) => numbers.reduce((one, other) => Math.max(one, other), 0);

const total = (widths: readonly number[]) => widths.reduce((sum, one) => sum + one + GAP, -GAP);

function linesOf(stacks: readonly Stack[]): string {
  const rows = stacks[0]?.cells.map((_, row) =>
    stacks.map(({ cells, width }) => foldWords(cells[row] ?? '', width)),
  );
  return (rows ?? [])
    .flatMap((pieces, row) => {
      const height = most(pieces.map(({ length }) => length));
      const lines = Array.from({ length: height }, (_, at) =>
        lineOf(
          stacks,
          pieces.map(cell => cell[at] ?? ''),
        ),
      );
      return row === 0 ? lines.map(line => paint('bold', line)) : lines;
    })
    .join('\n');
}

function lineOf(stacks: readonly Stack[], cells: readonly string[]): string {
  return stacks
    .map(({ align, width }, index) => {
      const cell = cells[index] ?? '';
      const space = ' '.repeat(Math.max(0, width - widthOf(cell)));
      return align === 'right' ? space + cell : cell + space;
    })
    .join(' '.repeat(GAP))
    .trimEnd();
}
