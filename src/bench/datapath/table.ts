/** What was measured, for people: a table, sentences below it, and a drawing. */
import { formatNumber } from '../../console/format.ts';
import type { Column } from '../../console/table.ts';
import { plotBars } from '../bars.ts';
import type { DatapathRow, Figures, Ratios } from './rows.ts';
import { KINDS } from './traffic.ts';

const figure = (title: string, key: keyof Figures, digits: number): Column<DatapathRow> => ({
  title,
  cell: row => formatNumber(row[key], digits),
  align: 'right',
});

/** With the least and the most of the rounds. */
const ratio = (key: keyof Ratios): Column<DatapathRow> => ({
  title: 'of host',
  cell: ({ [key]: value, rounds }) => {
    const all = rounds.flatMap(round => round[key] ?? []);
    if (value === undefined) return '';
    const range = [Math.min(...all), Math.max(...all)].map(each => formatNumber(each, 2)).join('-');
    return all.length > 1 ? `${formatNumber(value, 2)} (${range})` : formatNumber(value, 2);
  },
  align: 'right',
});

export const PATH_COLUMNS: readonly Column<DatapathRow>[] = [
  { title: 'path', cell: ({ path }) => path },
  figure('stream Gbit/s', 'streamGbps', 2),
  ratio('ratioStream'),
  figure('rr/s', 'rrPerSecond', 0),
  ratio('ratioRr'),
  figure('small/s', 'smallPerSecond', 0),
  ratio('ratioSmall'),
  figure('two-way/s', 'twoWayPerSecond', 0),
  ratio('ratioTwoWay'),
  figure('s/GB', 'cpuSecondsPerGigabyte', 2),
  ratio('ratioCpu'),
];

/** How much took the fast path and why not, and how often a path was ahead of Docker's. */
export function pathFacts(rows: readonly DatapathRow[]): string[] {
  return rows.flatMap(({ path, rounds, fastPath }) => {
    const facts: string[] = [];
    if (fastPath !== undefined) {
      const share = (value: number) => `${formatNumber(value * 100)} %`;
      const past = KINDS.map(kind => {
        const { sent, received } = fastPath.past[kind];
        return `${kind} ${share(sent)} sent, ${share(received)} received`;
      });
      facts.push(`${path} past the tunnel device: ${past.join('; ')}`);
      facts.push(...fastPath.obstacles.map(obstacle => `${path}: ${obstacle}`));
      const reasons = Object.entries(fastPath.normalPackets).flatMap(([reason, packets]) =>
        packets > 0 ? `${formatNumber(packets)} ${reason}` : [],
      );
      if (reasons.length > 0) facts.push(`${path} packets that took the normal path: ${reasons.join(', ')}`);
    }
    const ahead = rounds.flatMap(round => round.ahead ?? []);
    if (ahead.length > 0 && path !== 'host') {
      const of = (kind: 'stream' | 'rr') => `${ahead.filter(each => each[kind]).length} of ${ahead.length}`;
      facts.push(`${path} ahead of docker-overlay: stream in ${of('stream')} rounds, rr in ${of('rr')}`);
    }
    return facts;
  });
}

export function drawing(rows: readonly DatapathRow[]): string {
  return plotBars({
    title: 'Container to container over two hosts',
    digits: 2,
    groups: (
      [
        ['stream, of host to host', 'ratioStream'],
        ['request and response, of host to host', 'ratioRr'],
        ['datagrams of 64 bytes, two-way, of host to host', 'ratioTwoWay'],
      ] as const
    ).map(([title, key]) => ({ title, values: rows.map(row => ({ name: row.path, value: row[key] })) })),
  });
}
