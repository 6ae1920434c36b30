/**
 * The peers of the status screen. Few are listed one by one; of thousands the screen shows how many are in each state, what
 * the reasons are and how often each, with one peer as an example to look closer at.
 */
import type { PeerState, PeerStatus, Status } from '../api/status.ts';
import { valuesOf } from '../base/per-family.ts';
import { formatCount, formatNumber } from '../console/format.ts';
import { paint, type Style } from '../console/output.ts';
import { type Column, formatTable, wrap } from '../console/table.ts';
import { healthRank, healthReason, healthTotals, peerHealth } from './peer-health-text.ts';
import { waysReason, withoutChoice } from './peer-ways.ts';

/** Peers listed one by one. */
const ENOUGH_PEERS = 20;

/** Peers in trouble whose entries are shown. */
const ENOUGH_ENTRIES = 3;

/** Kinds of trouble listed when the peers in trouble are too many. */
const ENOUGH_REASONS = 10;

/** What needs a person most comes first. */
const TROUBLE: readonly PeerState[] = ['failed', 'pending', 'unreachable', 'rejected'];

/** Ranks of those that are programmed, by how they answer. */
const HEALTH_ROOM = 10;

const STYLE: Readonly<Record<PeerState, Style>> = {
  ok: 'green',
  pending: 'yellow',
  failed: 'red',
  unreachable: 'yellow',
  rejected: 'yellow',
};

export const peerState = (state: PeerState): string => paint(STYLE[state], state);

/** What a person calls a peer: its subnets, or the key when it has none. */
export const peerName = ({ subnet, key }: PeerStatus): string => valuesOf(subnet).join(' ') || key;

/** What a person calls the host of a peer; undefined where the lease is none. */
export const peerHost = ({ hostName, hostId, state }: PeerStatus): string | undefined =>
  hostName ?? hostId ?? (state === 'rejected' ? undefined : 'flannel');

/** `5,002: 4,980 ok, 15 failed, 7 rejected`; whether they answer when all are programmed: `3, all answer`. */
export function peerCounts(all: readonly PeerStatus[]): string {
  const count = (state: PeerState) => all.filter(peer => peer.state === state).length;
  const troubles = TROUBLE.map(state => [state, count(state)] as const).filter(([, many]) => many > 0);
  const total = formatNumber(all.length);
  if (troubles.length === 0) return all.length === 0 ? 'none' : `${total}, ${healthTotals(all) ?? 'all ok'}`;
  const parts = [['ok', count('ok')] as const, ...troubles];
  return `${total}: ${parts.map(([state, many]) => `${formatNumber(many)} ${peerState(state)}`).join(', ')}`;
}

const reasonOf = (peer: PeerStatus, status: Status, now: number): string =>
  peer.reason ?? healthReason(peer) ?? waysReason(peer, now) ?? withoutChoice(peer, status) ?? '';

/** Columns that would be empty are left out. */
const columns = (status: Status, now: number): readonly Column<PeerStatus>[] => [
  { title: 'peer', cell: peerName },
  { title: 'host', cell: peer => peerHost(peer) ?? '' },
  { title: 'public ip', cell: ({ publicIp }) => valuesOf(publicIp)[0] ?? '' },
  { title: 'backend', cell: ({ backendType }) => backendType ?? '' },
  { title: 'over', cell: ({ links }) => links?.join(' ') ?? '' },
  { title: 'state', cell: ({ state }) => peerState(state) },
  ...(status.peers.some(({ health }) => health !== undefined)
    ? [{ title: 'health', cell: (peer: PeerStatus) => peerHealth(peer, now) ?? '' }]
    : []),
  ...(status.peers.some(peer => reasonOf(peer, status, now) !== '')
    ? [{ title: 'reason', cell: (peer: PeerStatus) => reasonOf(peer, status, now) }]
    : []),
];

/**
 * @param everything list all of them with their entries, however many they are
 * @param now milliseconds since the epoch
 */
export function peersSection(status: Status, everything: boolean, now: number): string[] {
  const { peers: all } = status;
  const table = columns(status, now);
  if (all.length === 0) return [];
  const rank = (peer: PeerStatus) =>
    peer.state === 'ok' ? TROUBLE.length + HEALTH_ROOM + healthRank(peer) : TROUBLE.indexOf(peer.state);
  const sorted = all.toSorted((a, b) => rank(a) - rank(b));
  const troubled = sorted.filter(({ state }) => state !== 'ok');
  if (everything) return [[formatTable(table, sorted), ...sorted.flatMap(peerEntries)].join('\n')];

  const example = troubled[0] ?? sorted[0];
  const closer = `tulle status --peer ${example === undefined ? 'ADDRESS' : nameForOption(example)}`;
  if (troubled.length > ENOUGH_PEERS) {
    return [`${reasons(troubled)}\n${wrap(`\`${closer}\` looks at one of them, --all shows every one`, 2)}`];
  }
  const shown = sorted.slice(0, ENOUGH_PEERS);
  const hidden = sorted.length - shown.length;
  const detailed = troubled.filter(hasEntries).slice(0, ENOUGH_ENTRIES);
  return [
    [
      formatTable(table, shown),
      ...(hidden === 0 ? [] : [`and ${formatNumber(hidden)} more that are ok; --all shows them`]),
      ...detailed.flatMap(peerEntries),
    ].join('\n'),
  ];
}

/** What is wanted in the kernel for a peer, under its key, folded for the screen. */
function peerEntries(peer: PeerStatus): string[] {
  const lines = entryLines(peer);
  return lines.length === 0 ? [] : ['', ...[peer.key, ...lines].map(line => wrap(line, 6))];
}

/**
 * What is wanted in the kernel for a peer, a line each. What the kernel lacks is marked `-`, what it has and should
 * not `+`, as in a diff towards what is wanted.
 */
export function entryLines({ desired, actual }: PeerStatus): string[] {
  const missing = desired.filter(entry => !actual.includes(entry)).map(entry => paint('red', `  - ${entry}`));
  const extra = actual
    .filter(entry => !desired.includes(entry))
    .map(entry => paint('yellow', `  + ${entry}`));
  const right = desired.filter(entry => actual.includes(entry)).map(entry => `    ${entry}`);
  return [...right, ...missing, ...extra];
}

const hasEntries = ({ desired, actual }: PeerStatus) => desired.length + actual.length > 0;

const nameForOption = ({ subnet, key }: PeerStatus) => valuesOf(subnet)[0] ?? key;

interface Group {
  readonly state: PeerState;
  readonly reason: string;
  readonly peers: PeerStatus[];
}

/** One line per state and kind of reason, the most frequent first. */
function reasons(troubled: readonly PeerStatus[]): string {
  const groups = new Map<string, Group>();
  for (const peer of troubled) {
    const reason = withoutNames(peer.reason ?? '');
    const group = groups.get(`${peer.state} ${reason}`) ?? { state: peer.state, reason, peers: [] };
    group.peers.push(peer);
    groups.set(`${peer.state} ${reason}`, group);
  }
  const sorted = [...groups.values()].sort(
    (a, b) => TROUBLE.indexOf(a.state) - TROUBLE.indexOf(b.state) || b.peers.length - a.peers.length,
  );
  const table = formatTable<Group>(
    [
      { title: 'peers', cell: ({ peers }) => formatNumber(peers.length), align: 'right' },
      { title: 'state', cell: ({ state }) => peerState(state) },
      { title: 'for example', cell: ({ peers: [first] }) => (first === undefined ? '' : peerName(first)) },
      { title: 'reason', cell: ({ reason, peers: [first] }) => first?.reason ?? reason },
    ],
    sorted.slice(0, ENOUGH_REASONS),
  );
  const hidden = sorted.length - ENOUGH_REASONS;
  return hidden > 0 ? `${table}\nand ${formatCount(hidden, 'reason')} more` : table;
}

/** A reason without the addresses and numbers that are different for every peer. */
function withoutNames(reason: string): string {
  return reason
    .replace(/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, 'MAC')
    .replace(/\b\d+\.\d+\.\d+\.\d+(?:[/-]\d+)?/g, 'ADDRESS')
    .replace(/\b[0-9a-f]{1,4}:[0-9a-f:]*:[0-9a-f:]*(?:[/-]\d+)?/g, 'ADDRESS')
    .replace(/\b\d+\b/g, 'N');
}
