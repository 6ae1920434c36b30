/**
 * One peer on one screen: why a packet to it does or does not arrive. What this host wants in its kernel and what
 * is there, what was said about the peer lately, and where to look on when this host's part is in order.
 */
import type { AgentEvent } from '../api/messages.ts';
import type { PeerStatus, Status } from '../api/status.ts';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { CommandError } from './errors.ts';
import { formatDuration } from './format.ts';
import { paint } from './output.ts';
import { KERNEL_VXLAN_PORT } from './places.ts';
import { peerEntries, peerHost, peerName, peerState } from './status-peers.ts';
import { formatFacts, wrap } from './table.ts';

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
  const inside = (subnet: string | undefined) =>
    address !== undefined && subnet !== undefined && Prefix.parse(subnet).contains(address);
  const named = peers.filter(peer =>
    [peer.key, peer.hostId, peer.hostName, peer.publicIpv4, peer.publicIpv6, peer.ipv4, peer.ipv6].includes(
      which,
    ),
  );
  const found = named.length > 0 ? named : peers.filter(({ ipv4, ipv6 }) => inside(ipv4) || inside(ipv6));
  if (found.length > 0) return found;
  const own = [host.name, host.id, lease?.ipv4, lease?.ipv6, lease?.key];
  if (inside(lease?.ipv4) || inside(lease?.ipv6) || own.includes(which)) {
    throw new CommandError(
      'NOT_FOUND',
      `${which} belongs to this host itself, which has ${[lease?.ipv4, lease?.ipv6].filter(Boolean).join(' ') || 'no lease'}`,
      'packets to it stay on the bridge of this host; `tulle status` shows the host',
    );
  }
  const { ipv4, ipv6 } = network.config ?? {};
  const networks = [ipv4?.network, ipv6?.network].filter(one => one !== undefined);
  const outside = address !== undefined && networks.length > 0 && !networks.some(inside);
  throw new CommandError(
    'NOT_FOUND',
    outside
      ? `${which} is no peer, and not in the network ${networks.join(' ')}`
      : `no host has leased ${which}, as far as this one knows`,
    'give a subnet, an address inside it, a public IP, a host name or a host id; `tulle lease list` shows who has what',
  );
}

/** @param now milliseconds since the epoch. @param events what the agent remembers, oldest first. */
export function peerScreen(
  peer: PeerStatus,
  status: Status,
  events: readonly AgentEvent[],
  now: number,
): string {
  const { publicIpv4, publicIpv6, hostId, backendType, reason, key } = peer;
  const ago = (time: string) => `${formatDuration(Math.max(0, now - Date.parse(time)))} ago`;
  const addresses = [publicIpv4, publicIpv6].filter(address => address !== undefined);
  const { lastResync } = status.dataplane;
  const facts = formatFacts([
    ['peer', peerName(peer)],
    ['state', `${peerState(peer.state)}${reason === undefined ? '' : `: ${reason}`}`],
    ['public ip', addresses.join(' ') || undefined],
    ['host', peerHost(peer)],
    ['host id', hostId],
    ['backend', backendType],
    ['compared', lastResync === undefined ? undefined : `with the kernel ${ago(lastResync)}`],
  ]);
  const [, , ...entries] = peerEntries(peer);
  const warnings = status.warnings
    .filter(({ title, text }) => [key, ...addresses].some(name => mentions(`${title} ${text}`, name)))
    .map(({ code, title, text }) => `  ${paint('yellow', code)} ${title}: ${text}`);
  const lately = events
    .filter(({ fields }) => fields['peer'] === key || fields['key'] === key)
    .slice(-ENOUGH_EVENTS)
    .map(({ time, type, text }) => `  ${ago(time)}  ${type}  ${text}`);
  return [
    facts,
    ...section('In the kernel (- is missing, + should not be there):', entries),
    ...section('Warnings:', warnings),
    ...section('Lately:', lately),
    ...section('Where to look on:', lookOn(peer, status)),
  ].join('\n\n');
}

/** An address as a whole word: 10.0.0.1 is not in 10.0.0.11. */
function mentions(text: string, name: string): boolean {
  return text.split(/[\s,;()]+/).includes(name);
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [[title, ...lines.map(line => wrap(line, 4))].join('\n')];
}

/** What this host cannot see: the way between the hosts, and the other end. */
function lookOn({ state, publicIpv4, publicIpv6 }: PeerStatus, status: Status): string[] {
  if (state !== 'ok') return [];
  const { underlay, backend } = status;
  const peer = publicIpv4 ?? publicIpv6 ?? 'the peer';
  const [device] = backend?.devices ?? [];
  const port = device?.port ?? (device?.kind === 'vxlan' ? KERNEL_VXLAN_PORT : undefined);
  const here = underlay === undefined ? '' : ` (tcpdump -ni ${underlay.link.name} udp port ${port ?? ''})`;
  return [
    '  This host does its part: every entry is in its kernel. If packets still do not arrive, see',
    `  - tulle status on ${peer}: whether it knows this host, ${status.lease?.ipv4 ?? status.lease?.ipv6 ?? 'which has no lease'}`,
    ...(port === undefined ? [] : [`  - the way between: UDP ${port} must pass to ${peer} and back${here}`]),
    `  - the MTU of the containers: ${backend?.overlayMtu ?? 'unknown'} at most`,
  ];
}
