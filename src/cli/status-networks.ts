/** The networks beside the overlay on the status screen: a line for each, or for the first of many. */
import type { DockerNetworkStatus, L2NetworkStatus } from '../api/networks.ts';
import type { Status } from '../api/status.ts';
import { printable } from '../base/printable.ts';
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

const DOCKER_COLUMNS: readonly Column<DockerNetworkStatus>[] = [
  { title: 'docker network', cell: ({ name }) => printable(name) },
  { title: 'is', cell: ({ network }) => network ?? '?' },
  { title: 'containers here', cell: ({ containers }) => formatNumber(containers), align: 'right' },
  { title: 'state', cell: ({ state }) => paint(STYLE[state], state) },
];

export function networksSection(
  { l2Networks = [], dockerNetworks = [] }: Status,
  isWhole: boolean,
): string[] {
  const waiting = dockerNetworks.flatMap(({ name, state, reason }) =>
    state === 'waiting' && reason !== undefined ? [`${printable(name)}: ${printable(reason)}`] : [],
  );
  return [
    ...tableOf(COLUMNS, l2Networks, isWhole),
    ...tableOf(DOCKER_COLUMNS, dockerNetworks, isWhole, waiting),
  ];
}

function tableOf<Network extends { readonly state: keyof typeof STYLE }>(
  columns: readonly Column<Network>[],
  all: readonly Network[],
  isWhole: boolean,
  remarks: readonly string[] = [],
): string[] {
  if (all.length === 0) return [];
  const ranked = all.toSorted((a, b) => Number(a.state === 'ready') - Number(b.state === 'ready'));
  const shown = isWhole ? all : ranked.slice(0, ENOUGH_NETWORKS);
  const more = all.length - shown.length;
  const rest = more === 0 ? [] : [`and ${formatCount(more, 'more', 'more')}: see --all`];
  const most = isWhole ? remarks.length : ENOUGH_NETWORKS;
  return [[formatTable(columns, shown), ...rest, ...remarks.slice(0, most)].join('\n')];
}
