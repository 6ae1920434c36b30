/** Labs as a person, or a script, reads them. */
import { type Column, formatTable } from '../console/table.ts';
import type { LabRecord } from './record.ts';

export const LAB_COLUMNS: readonly Column<LabRecord>[] = [
  { title: 'name', cell: ({ name }) => name },
  { title: 'hosts', cell: ({ hosts }) => `${hosts.length}`, align: 'right' },
  {
    title: 'containers',
    cell: ({ hosts }) => `${hosts.reduce((sum, { containers }) => sum + containers.length, 0)}`,
    align: 'right',
  },
  { title: 'runtime', cell: ({ runtime }) => runtime },
  { title: 'store', cell: ({ store }) => store },
  { title: 'since', cell: ({ createdAt }) => createdAt },
];

/** What scripts get: the record without what only Tulle itself can use. */
export function describeLab({ name, createdAt, runtime, store, etcdEndpoint, etcdPrefix, hosts }: LabRecord) {
  return {
    name,
    createdAt,
    runtime,
    store,
    etcdEndpoint,
    etcdPrefix,
    hosts: hosts.map(host => ({
      name: host.name,
      address: host.address,
      subnet: host.subnet,
      containers: host.containers.map(container => ({ name: container.name, ip: container.ip })),
    })),
  };
}

/** One line per host. */
export function summarizeLab(record: LabRecord): string {
  const rows = record.hosts.map(({ name, address, subnet, containers }) => ({
    name,
    address,
    subnet,
    containers: containers.map(container => `${container.name} ${container.ip}`).join(', '),
  }));
  return formatTable(
    [
      { title: 'host', cell: row => row.name },
      { title: 'address', cell: row => row.address },
      { title: 'subnet', cell: row => row.subnet },
      { title: 'containers', cell: row => row.containers },
    ],
    rows,
  );
}
