/** `tulle status --all-hosts`: a line for each host. */
import { formatCount } from '../console/format.ts';
import { paint, type Style } from '../console/output.ts';
import { type Column, formatTable, wrap } from '../console/table.ts';
import type { HostSummary } from './all-hosts.ts';

/** Hints shown: many hosts may have the same trouble. */
const ENOUGH_HINTS = 3;

const STYLES: Partial<Record<HostSummary['state'], Style>> = {
  ready: 'green',
  unknown: 'red',
  waiting: 'red',
};

const COLUMNS: readonly Column<HostSummary>[] = [
  { title: 'host', cell: ({ host }) => host },
  { title: 'state', cell: stateText },
  { title: 'lease', cell: ({ subnets }) => subnets.join(' ') },
  { title: 'peers', cell: ({ peers }) => (peers ? peersText(peers) : '') },
  { title: 'needs attention', cell: attention },
];

function stateText({ state, ok, reason }: HostSummary): string {
  if (reason?.code === 'NO_PEER_API') return ok ? 'flannel' : paint('yellow', 'not asked');
  if (state === 'unknown') return paint('red', 'no answer');
  return paint(STYLES[state] ?? 'yellow', state);
}

const peersText = ({ ok, all }: NonNullable<HostSummary['peers']>) =>
  ok === all ? `${all}` : paint('yellow', `${ok} of ${all}`);

function attention({ worst, reason, via }: HostSummary): string {
  const through = via === undefined ? [] : [`not reached from here, asked through ${via}`];
  return [
    ...(worst ? [`${worst.title} (${worst.code})`] : []),
    ...(reason ? [reason.message] : []),
    ...through,
  ].join('; ');
}

/** Lines of at most the width of the terminal. */
export function allHostsScreen(hosts: readonly HostSummary[]): string {
  const hints = [...new Set(hosts.flatMap(({ reason }) => reason?.hint ?? []))];
  const troubled = hosts.filter(({ ok }) => !ok).length;
  const total = `${formatCount(hosts.length, 'host')}, ${troubled === 0 ? 'all fine as far as is known' : `${troubled} with trouble`}`;
  return [
    formatTable(COLUMNS, hosts),
    [wrap(total, 0), ...hints.slice(0, ENOUGH_HINTS).map(hint => wrap(`hint: ${hint}`, 2))].join('\n'),
  ].join('\n\n');
}
