/** Labs as a person, or a script, reads them. */
import { familiesOf, valuesOf } from '../base/per-family.ts';
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
  { title: 'family', cell: ({ family }) => family },
  { title: 'since', cell: ({ createdAt }) => createdAt },
];

/**
 * What scripts get: the record without what only Tulle itself can use. `address`, `subnet` and `ip` are of IPv4 where
 * the lab has it, else of IPv6; the members in the plural have both.
 */
export function describeLab(record: LabRecord) {
  const { name, createdAt, runtime, store, family, etcdEndpoint, etcdPrefix, hosts } = record;
  return {
    name,
    createdAt,
    runtime,
    store,
    family,
    etcdEndpoint,
    etcdPrefix,
    hosts: hosts.map(host => ({
      name: host.name,
      address: valuesOf(host.address)[0],
      addresses: host.address,
      subnet: valuesOf(host.subnet)[0],
      subnets: host.subnet,
      containers: host.containers.map(container => ({
        name: container.name,
        ip: valuesOf(container.ip)[0],
        ips: container.ip,
      })),
    })),
  };
}

/** One line per host and family. */
export function summarizeLab(record: LabRecord): string {
  const rows = record.hosts.flatMap(({ name, address, subnet, containers }) =>
    familiesOf(address).map(family => ({
      name,
      address: address[family] ?? '',
      subnet: subnet[family] ?? '',
      containers: containers.map(({ name: container, ip }) => `${container} ${ip[family] ?? ''}`).join(', '),
    })),
  );
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
