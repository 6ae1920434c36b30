/**
 * Rows and columns of text, aligned, for terminals and for eyes that scan; scripts use `--json`. What is wider than
 * the terminal goes on in the next line below its own beginning, so that the columns stay columns.
 */
import { stripVTControlCharacters } from 'node:util';
import { paint, screenWidth } from './output.ts';

/** A column narrower than this is not worth keeping text in. */
const LEAST_WIDTH = 28;

export interface Column<Row> {
  readonly title: string;
  /** The cell's text, which may carry colour. */
  readonly cell: (row: Row) => string;
  /** Numbers are easier to compare when their last digits meet. */
  readonly align?: 'left' | 'right';
  /** The title is somebody's name: it is left as it is. */
  readonly verbatim?: true;
}

/**
 * One line per row under a line of titles, without trailing spaces or newline. An empty cell shows as `-`. Only the
 * last column is wrapped.
 */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width = screenWidth(),
): string {
  const body = rows.map(row => columns.map(({ cell }) => cell(row) || '-'));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...body.map(cells => widthOf(cells[index] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const space = ' '.repeat((widths[index] ?? 0) - widthOf(cell));
        return columns[index]?.align === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  const titles = columns.map(({ title, verbatim }) => (verbatim === true ? title : title.toUpperCase()));
  const before = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, 0);
  return [paint('bold', line(titles)), ...body.map(cells => wrap(line(cells), before, width))].join('\n');
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
    .map(line => wrap(line, indent.length + names + 2, width))
    .join('\n');
}

/** Breaks a line between words where it is wider than `width`; what follows is indented by `indent` columns. */
export function wrap(line: string, indent: number, width = screenWidth()): string {
  if (width === undefined || widthOf(line) <= width || width - indent < LEAST_WIDTH) return line;
  const lines: string[] = [];
  let current = '';
  // The spaces stay with the word after them, so that columns within the line keep their places.
  for (const word of line.split(/(?<=\S)(?= )/)) {
    if (current !== '' && widthOf(current) > indent && widthOf(current + word) > width) {
      lines.push(current);
      current = ' '.repeat(indent) + word.trimStart();
    } else {
      current += word;
    }
  }
  return [...lines, current].join('\n');
}

const widthOf = (text: string) => stripVTControlCharacters(text).length;
