/** Published ports as a table: one line for both address families. */
import type { PortOnHost } from '../api/ports.ts';
import { formatDuration } from '../console/format.ts';
import { formatTable } from '../console/table.ts';

/** @param now in milliseconds since the epoch */
export function portTable(ports: readonly PortOnHost[], now: number): string {
  const lines = Map.groupBy(ports, ({ protocol, hostAddress, hostPort, container, network, containerPort }) =>
    JSON.stringify([protocol, hostAddress, hostPort, container, network, containerPort]),
  );
  return formatTable(
    [
      { title: 'port', cell: ([{ hostPort, protocol }]) => `${hostPort}/${protocol}` },
      { title: 'at', cell: ([{ hostAddress }]) => hostAddress ?? 'every address' },
      { title: 'container', cell: ([{ container }]) => container },
      { title: 'network', cell: ([{ network }]) => network },
      {
        title: 'address',
        cell: ([first, ...more]) => [first, ...more].map(({ address }) => address).join(' '),
      },
      { title: 'to', cell: ([{ containerPort }]) => String(containerPort), align: 'right' },
      { title: 'since', cell: ([{ since }]) => formatDuration(Math.max(0, now - Date.parse(since))) },
      {
        title: 'held',
        cell: line => (line.every(({ held }) => held) ? 'yes' : 'no: another program has it'),
      },
    ],
    [...lines.values()].map(([first, ...more]): Line => [first as PortOnHost, ...more]),
  );
}

type Line = readonly [PortOnHost, ...PortOnHost[]];
