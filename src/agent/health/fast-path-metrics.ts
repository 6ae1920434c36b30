/** The fast path as metrics. What flows have carried goes with them when they end, so that it is no counter. */
import type { Status } from '../../api/status.ts';

interface Metric {
  readonly type: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly samples: readonly (readonly [number, Readonly<Record<string, string>>?])[];
}

export function fastPathMetrics({ fastPath }: Pick<Status, 'fastPath'>): readonly Metric[] {
  if (fastPath === undefined) return [];
  const { used, networks, normalPackets } = fastPath;
  return [
    {
      type: 'gauge',
      name: 'tulle_fast_path_used',
      help: 'Whether packets of some container may take the fast path.',
      samples: [[Number(used)]],
    },
    {
      type: 'gauge',
      name: 'tulle_fast_path_links',
      help: 'Links of containers by network, and by whether they have the fast path.',
      samples: networks.flatMap(({ name, links, without }) => [
        [links.length, { network: name, fast: 'true' }] as const,
        [without.length, { network: name, fast: 'false' }] as const,
      ]),
    },
    {
      type: 'gauge',
      name: 'tulle_fast_path_flows',
      help: 'Flows whose packets take the fast path now, by network.',
      samples: networks.map(({ name, flows }) => [flows, { network: name }]),
    },
    {
      type: 'gauge',
      name: 'tulle_fast_path_bytes',
      help: 'Bytes that took the fast path, of the flows that are known now.',
      samples: networks.flatMap(({ name, sentBytes, receivedBytes }) => [
        [sentBytes, { network: name, direction: 'sent' }] as const,
        [receivedBytes, { network: name, direction: 'received' }] as const,
      ]),
    },
    {
      type: 'counter',
      name: 'tulle_fast_path_normal_packets_total',
      help: 'Packets between containers and tunnels that took the normal path, by reason.',
      samples: Object.entries(normalPackets).map(([reason, count]) => [count, { reason }]),
    },
  ];
}
