/**
 * One peer on one screen: why a packet to it does or does not arrive. What this host wants in its kernel and what
 * is there, what was said about the peer lately, and where to look on when this host's part is in order.
 */
import type { AgentEvent, ForwarderTraffic } from '../api/messages.ts';
import type { FamilyStatus, PeerStatus, Status, Warning } from '../api/status.ts';
import { Ip } from '../base/ip.ts';
import { valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { CommandError } from '../console/errors.ts';
import { formatDuration } from '../console/format.ts';
import { paint } from '../console/output.ts';
import { formatFacts, wrap } from '../console/table.ts';
import { peerFastPathText } from './fast-path-text.ts';
import { healthText } from './peer-health-text.ts';
import { waysText, withoutChoice } from './peer-ways.ts';
import { entryLines, peerHost, peerName, peerState } from './status-peers.ts';
import { misplacedPackets, peerTraffic } from './traffic.ts';

/** Events about the peer that are shown: the newest. */
const ENOUGH_EVENTS = 5;

/**
 * The peers that are meant: by subnet, by an address inside it (a container's), by public IP, by host name or id, or by
 * the key of the lease. Several peers may have one public IP, and one name.
 *
 * @throws CommandError NOT_FOUND
 */
export function findPeers({ peers, lease, network, host }: Status, which: string): readonly PeerStatus[] {
  const address = Ip.tryParse(which);
  const inside = (block: string) => address !== undefined && Prefix.parse(block).contains(address);
  const named = peers.filter(({ key, hostId, hostName, publicIp, subnet }) =>
    [key, hostId, hostName, ...valuesOf(publicIp), ...valuesOf(subnet)].includes(which),
  );
  const found = named.length > 0 ? named : peers.filter(({ subnet }) => valuesOf(subnet).some(inside));
  if (found.length > 0) return found;
  const ownBlocks = valuesOf(lease?.subnet ?? {});
  if (ownBlocks.some(inside) || [host.name, host.id, lease?.key, ...ownBlocks].includes(which)) {
    throw new CommandError(
      'NOT_FOUND',
      `${which} belongs to this host, which has ${ownBlocks.join(' ') || 'no lease'}`,
      'packets to it stay on the bridge of this host; `tulle status` shows the host',
    );
  }
  const networks = valuesOf<FamilyStatus>(network.config ?? {}).map(family => family.network);
  const outside = address !== undefined && networks.length > 0 && !networks.some(inside);
  throw new CommandError(
    'NOT_FOUND',
    outside
      ? `${which} is not a peer, and is outside the network ${networks.join(' ')}`
      : `no host known here has leased ${which}`,
    'give a subnet, an address inside it, a public IP, a host name or a host id; `tulle lease list` shows who has what',
  );
}

/**
 * @param now milliseconds since the epoch
 * @param events what the agent remembers, oldest first
 * @param traffic where a forwarder moves the packets
 * @param answers what was found out by asking, where it was
 */
export function peerScreen(
  peer: PeerStatus,
  status: Status,
  events: readonly AgentEvent[],
  now: number,
  traffic?: ForwarderTraffic,
  answers?: string,
): string {
  const { publicIp, hostId, backendType, reason, key } = peer;
  const ago = (time: string) => `${formatDuration(Math.max(0, now - Date.parse(time)))} ago`;
  const { lastResync } = status.dataplane;
  const facts = formatFacts([
    ['peer', peerName(peer)],
    ['state', `${peerState(peer.state)}${reason === undefined ? '' : `: ${reason}`}`],
    ['public ip', valuesOf(publicIp).join(' ') || undefined],
    ['host', peerHost(peer)],
    ['host id', hostId],
    ['backend', backendType],
    ['over', peer.links?.join(' ')],
    ['way', waysText(peer, now) ?? withoutChoice(peer, status)],
    ['health', healthText(peer, now)],
    ['fast path', peerFastPathText(peer, status)],
    ['traffic', traffic && peerTraffic(peer, traffic)],
    // What a notification tells of is repaired at once, and is in the events.
    ['compared', lastResync && `with the kernel at each change, and as a whole ${ago(lastResync)}`],
  ]);
  const about = warningsAbout(peer, status);
  const lately = events
    .filter(({ fields: { peer: of, key: its, keys } }) => [of, its].concat(keys).includes(key))
    .slice(-ENOUGH_EVENTS)
    .map(({ time, type, text }) => [ago(time), type, text] as const);
  const widest = (column: 0 | 1) => Math.max(0, ...lately.map(line => line[column].length));
  const [ages, types] = [widest(0), widest(1)];
  return [
    facts,
    ...section('In the kernel (- is missing, + should not be there):', entryLines(peer), 6),
    ...section('Warnings:', about.flatMap(warningLines)),
    ...section(
      'Lately:',
      lately.map(([age, type, text]) => `  ${age.padEnd(ages)}  ${type.padEnd(types)}  ${text}`),
    ),
    ...(answers === undefined ? nextSteps(peer, status, traffic) : [`Asked now:\n${answers}`]),
  ].join('\n\n');
}

/** An address as a whole word: 10.0.0.1 is not in 10.0.0.11. */
function mentions(text: string, name: string): boolean {
  return text.split(/[\s,;()]+/).includes(name);
}

function section(title: string, lines: readonly string[], indent = 4): string[] {
  return lines.length === 0 ? [] : [[title, ...lines.map(line => wrap(line, indent))].join('\n')];
}

/** Warnings that name this peer. */
export function warningsAbout({ key, publicIp }: PeerStatus, status: Status): readonly Warning[] {
  const names = [key, ...valuesOf(publicIp)];
  return status.warnings.filter(({ title, text }) => names.some(name => mentions(`${title} ${text}`, name)));
}

/** What a peer with problems needs is shown above. For one without, this host's own problems come first. */
function nextSteps(peer: PeerStatus, status: Status, traffic: ForwarderTraffic | undefined): string[] {
  const about = warningsAbout(peer, status);
  const own = troubles(status, about);
  if (own.length > 0) return section('This host itself has problems. Solve these first:', own);
  const isInOrder = peer.state === 'ok' && about.length === 0;
  return isInOrder ? section('Where to look next:', lookOn(peer, status, traffic)) : [];
}

/** What is wrong with this host, independent of the peer. @param shown warnings that are shown already */
function troubles({ conditions, warnings }: Status, shown: readonly Warning[]): string[] {
  return [
    ...conditions
      .filter(({ ok }) => !ok)
      .flatMap(({ name, reason = '', hint }) => [`  ${paint('red', name)} ${reason}`, ...hintLine(hint)]),
    ...warnings
      .filter(warning => warning.severity !== 'info' && !shown.includes(warning))
      .flatMap(warningLines),
  ];
}

const warningLines = ({ code, title, text, hint }: Warning): string[] => [
  `  ${paint('yellow', code)} ${title}: ${text}`,
  ...hintLine(hint),
];

const hintLine = (hint: string | undefined) => (hint === undefined ? [] : [`    hint: ${hint}`]);

/** What this host cannot see: the way between the hosts, and the other end. */
function lookOn(peerStatus: PeerStatus, status: Status, traffic: ForwarderTraffic | undefined): string[] {
  const { underlay, backend } = status;
  const { publicIp } = peerStatus;
  const peer = valuesOf(publicIp)[0] ?? 'the peer';
  const [device] = backend?.devices ?? [];
  const port = device?.port;
  const here = underlay === undefined ? '' : ` (tcpdump -ni ${underlay.link.name} udp port ${port ?? ''})`;
  return [
    '  This host is complete: every entry is in its kernel. If packets still do not arrive, check',
    ...(traffic === undefined || misplacedPackets(peerStatus, traffic) === 0
      ? []
      : [
          `  - from which address packets of ${peer} come: some came from another, as behind a NAT, and were dropped; its --public-ip must be the address that others see`,
        ]),
    `  - tulle status on ${peer}: whether it knows this host, ${valuesOf(status.lease?.subnet ?? {})[0] ?? 'which has no lease'}`,
    ...(port === undefined
      ? []
      : [`  - the path between the hosts: UDP ${port} must pass to ${peer} and back${here}`]),
    `  - the MTU of the containers: ${backend?.overlayMtu ?? 'unknown'} at most`,
  ];
}
