/** A tunnel in words: one as facts, several as a table. */
import type { TunnelReport } from '../api/tunnels.ts';
import { formatBytes, formatNumber } from '../console/format.ts';
import { formatFacts, formatTable } from '../console/table.ts';

export function tunnelFacts(tunnel: TunnelReport): string {
  const { name, vni, port, device, attach, reason, hint, fitted } = tunnel;
  const lowered = fitted.map(
    ({ name: link, where, was }) => `${where === 'host' ? link : `${link} in ${where}`} (was ${was})`,
  );
  return formatFacts([
    ['tunnel', `${name}, VNI ${vni}, UDP ${port}, ${farEnd(tunnel)}`],
    ['state', reason === undefined ? tunnel.state : `${tunnel.state}: ${reason}`],
    ['hint', hint],
    ['MTU', device && String(device.mtu)],
    ['MAC', device?.mac],
    ['address', addressesOf(device).join(', ') || undefined],
    [
      'bridge',
      device?.bridge && (device.bridge === attach ? attach : `${device.bridge} of ${attach ?? 'this host'}`),
    ],
    ['MTU lowered', lowered.length === 0 ? undefined : lowered.join(', ')],
    [
      'kept',
      tunnel.kept === 'agent'
        ? 'by the agent, over restarts'
        : 'until it is deleted or this host is restarted',
    ],
  ]);
}

export function tunnelTable(tunnels: readonly TunnelReport[]): string {
  return formatTable(
    [
      { title: 'name', cell: ({ name }) => name },
      { title: 'state', cell: ({ state, reason }) => (reason === undefined ? state : `${state}: ${reason}`) },
      { title: 'VNI', cell: ({ vni }) => String(vni), align: 'right', verbatim: true },
      { title: 'to', cell: ({ remote, group }) => remote ?? group ?? '' },
      { title: 'UDP', cell: ({ port }) => String(port), align: 'right', verbatim: true },
      { title: 'MTU', cell: ({ device }) => String(device?.mtu ?? ''), align: 'right', verbatim: true },
      {
        title: 'at',
        cell: ({ device }) => device?.bridge ?? addressesOf(device).join(' '),
      },
      {
        title: 'sent',
        cell: ({ counters }) => (counters ? traffic(counters.sentPackets, counters.sentBytes) : ''),
        align: 'right',
      },
      {
        title: 'received',
        cell: ({ counters }) => (counters ? traffic(counters.receivedPackets, counters.receivedBytes) : ''),
        align: 'right',
      },
      { title: 'errors', cell: ({ counters }) => (counters ? String(lost(counters)) : ''), align: 'right' },
      { title: 'MACs', cell: ({ fdb }) => String(fdb?.learned.length ?? ''), align: 'right', verbatim: true },
      { title: 'kept', cell: ({ kept }) => kept },
    ],
    tunnels,
  );
}

/** Without the one that IPv6 gives every link. */
const addressesOf = (device: TunnelReport['device']) =>
  device?.addresses.filter(address => !address.startsWith('fe80:')) ?? [];

const farEnd = ({ remote, group, dev }: TunnelReport) =>
  `${group === undefined ? remote : `group ${group}`}${dev === undefined ? '' : ` over ${dev}`}`;

const traffic = (packets: number, bytes: number) => `${formatNumber(packets)} (${formatBytes(bytes)})`;

const lost = ({
  receiveErrors,
  receiveDrops,
  sendErrors,
  sendDrops,
}: NonNullable<TunnelReport['counters']>) => receiveErrors + receiveDrops + sendErrors + sendDrops;
