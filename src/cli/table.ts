/** Rows and columns of text, aligned, for terminals and for eyes that scan; scripts use `--json`. */
import { stripVTControlCharacters } from 'node:util';
import { paint } from './output.ts';

export interface Column<Row> {
  readonly title: string;
  /** The cell's text, which may carry colour. */
  readonly cell: (row: Row) => string;
  /** Numbers are easier to compare when their last digits meet. */
  readonly align?: 'left' | 'right';
  /** The title is somebody's name: it is left as it is. */
  readonly verbatim?: true;
}

/** One line per row under a line of titles, without trailing spaces or newline. An empty cell shows as `-`. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
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
  return [paint('bold', line(titles)), ...body.map(line)].join('\n');
}

/** Facts about one thing, `name  value` per line, values aligned; entries without a value are left out. */
export function formatFacts(facts: readonly (readonly [string, string | undefined])[], indent = ''): string {
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${indent}${paint('bold', name.padEnd(width))}  ${value}`).join('\n');
}

const widthOf = (text: string) => stripVTControlCharacters(text).length;
