/** The L2 networks of the status screen: a line for each, or for the first of many. */
import type { L2NetworkStatus } from '../api/networks.ts';
import type { Status } from '../api/status.ts';
import { formatCount, formatNumber } from '../console/format.ts';
import { paint } from '../console/output.ts';
import { type Column, formatTable } from '../console/table.ts';

/** Those in trouble come first. */
const ENOUGH_NETWORKS = 10;

const STYLE = { ready: 'green', waiting: 'yellow', failed: 'red' } as const;

const COLUMNS: readonly Column<L2NetworkStatus>[] = [
  { title: 'l2 network', cell: ({ name }) => name },
  { title: 'bridge', cell: ({ bridge }) => bridge ?? '' },
  { title: 'vni', cell: ({ vni }) => `${vni}`, align: 'right' },
  { title: 'mtu', cell: ({ mtu }) => `${mtu ?? ''}`, align: 'right' },
  { title: 'hosts', cell: ({ members }) => formatNumber(members), align: 'right' },
  { title: 'containers', cell: ({ endpoints }) => formatNumber(endpoints), align: 'right' },
  { title: 'state', cell: ({ state }) => paint(STYLE[state], state) },
];

export function networksSection({ l2Networks: all = [] }: Status, isWhole: boolean): string[] {
  if (all.length === 0) return [];
  const ranked = all.toSorted((a, b) => Number(a.state === 'ready') - Number(b.state === 'ready'));
  const shown = isWhole ? all : ranked.slice(0, ENOUGH_NETWORKS);
  const more = all.length - shown.length;
  const rest = more === 0 ? [] : [`and ${formatCount(more, 'more', 'more')}: see --all`];
  return [[formatTable(COLUMNS, shown), ...rest].join('\n')];
}
