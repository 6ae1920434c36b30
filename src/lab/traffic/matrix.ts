/** The reachability matrix: a row per place that asks, a column per container that answers. */
import { FAMILIES, FAMILY_LABELS } from '../../base/ip.ts';
import { widthOf } from '../../console/fold.ts';
import { paint, screenWidth } from '../../console/output.ts';
import { type Column, formatTable } from '../../console/table.ts';
import type { PingReport, PingResult } from './ping.ts';

interface Row {
  readonly from: string;
  readonly cells: ReadonlyMap<string, PingResult>;
}

/**
 * Round trips in milliseconds; `=` for pairs on one host, which no tunnel is needed for. Of two families one after the
 * other.
 *
 * At most as wide as the terminal: the names above the columns are folded into host and container, and columns that do
 * not fit even then stand below.
 */
export function formatMatrix({ results }: Pick<PingReport, 'results'>, width = screenWidth()): string {
  const ofFamily = FAMILIES.map(
    family => [family, results.filter(result => result.family === family)] as const,
  );
  const parts = ofFamily.filter(([, found]) => found.length > 0);
  if (parts.length <= 1) return formatOne(results, width);
  return parts.map(([family, found]) => `${FAMILY_LABELS[family]}\n${formatOne(found, width)}`).join('\n\n');
}

function formatOne(results: readonly PingResult[], width: number | undefined): string {
  const rows = new Map<string, Map<string, PingResult>>();
  for (const result of results) {
    const cells = rows.get(result.from) ?? new Map<string, PingResult>();
    rows.set(result.from, cells.set(result.to, result));
  }
  const targets = [...new Set(results.map(({ to }) => to))].sort();
  const table = (titleOf: (target: string) => string, most: number) => {
    const columns: Column<Row>[] = [
      { title: 'from', cell: ({ from }) => from },
      ...targets.map(
        (target): Column<Row> => ({
          title: titleOf(target),
          cell: ({ cells }) => cellOf(cells.get(target)),
          align: 'right',
          verbatim: true,
        }),
      ),
    ];
    return formatTable(
      columns,
      [...rows].map(([from, cells]) => ({ from, cells })),
      most,
    );
  };
  const whole = table(target => target, Number.POSITIVE_INFINITY);
  if (width === undefined || whole.split('\n').every(line => widthOf(line) <= width)) return whole;
  return table(target => target.replace('/', ' '), width);
}

function cellOf(result: PingResult | undefined): string {
  if (result === undefined) return '=';
  if (result.lost === 0) return paint('green', `${(result.rtt ?? 0).toFixed(2)} ms`);
  return paint('red', result.lost === result.sent ? 'lost' : `${result.lost}/${result.sent} lost`);
}
