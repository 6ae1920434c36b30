/** Labs as a person, or a script, reads them. */
import { FAMILIES, type Family, Ip } from '../../base/ip.ts';
import { familiesOf, valuesOf } from '../../base/per-family.ts';
import { type Column, formatTable } from '../../console/table.ts';
import { isAlive } from '../../sys/pidfd.ts';
import { LAB_FAMILIES } from '../topology/simple.ts';
import type { HostRecord, LabRecord } from './record.ts';

export const LAB_COLUMNS: readonly Column<LabRecord>[] = [
  { title: 'name', cell: ({ name }) => name },
  {
    title: 'hosts',
    cell: ({ hosts }) => {
      const down = hosts.filter(({ anchor }) => !isAlive(anchor)).length;
      return `${hosts.length}${down === 0 ? '' : ` (${down} down)`}`;
    },
    align: 'right',
  },
  {
    title: 'containers',
    cell: ({ hosts }) => `${hosts.reduce((sum, { containers }) => sum + containers.length, 0)}`,
    align: 'right',
  },
  { title: 'runtime', cell: ({ hosts }) => [...new Set(hosts.map(({ runtime }) => runtime))].join(', ') },
  { title: 'store', cell: lab => storeOf(lab) ?? '' },
  { title: 'family', cell: lab => familyOf(lab) ?? '' },
  { title: 'since', cell: ({ createdAt }) => createdAt },
];

/**
 * What scripts get: the record without what only Tulle itself can use. `address`, `subnet` and `ip` are of IPv4 where
 * the lab has it, else of IPv6; the members in the plural have both. What a lab or a host does not have is absent.
 */
export function describeLab(record: LabRecord) {
  const { name, createdAt, etcdEndpoint, etcdPrefix, hosts } = record;
  return {
    name,
    createdAt,
    store: storeOf(record),
    family: familyOf(record),
    etcdEndpoint,
    etcdPrefix,
    hosts: hosts.map(describeHost),
  };
}

export const describeHost = (host: HostRecord) => ({
  name: host.name,
  state: isAlive(host.anchor) ? 'up' : 'down',
  runtime: host.runtime,
  address: valuesOf(host.address)[0],
  addresses: host.address,
  links: host.links,
  subnet: valuesOf(host.subnet)[0],
  subnets: host.subnet,
  containers: host.containers.map(container => ({
    name: container.name,
    ip: valuesOf(container.ip)[0],
    ips: container.ip,
  })),
});

const storeOf = ({ topology: { store } }: LabRecord): string | undefined => store && (store.kind ?? 'tulle');

/** Of the hosts' addresses; undefined when none has any. */
function familyOf({ hosts }: LabRecord): string | undefined {
  const has = new Set(hosts.flatMap(({ address }) => familiesOf(address)));
  const names = Object.entries(LAB_FAMILIES);
  return names.find(
    ([, families]) => families.length === has.size && families.every(each => has.has(each)),
  )?.[0];
}

/** One line per host and family; one for a host that has no address. */
export function summarizeLab(record: LabRecord): string {
  const rows = record.hosts.flatMap(({ name, address, links, subnet, containers }) =>
    rowFamilies({ address, containers }).map(family => ({
      name,
      address: links
        .flatMap(({ addresses }) => addresses)
        .filter(ip => Ip.parse(ip).family === family)
        .join(', '),
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

function rowFamilies({ address, containers }: Pick<HostRecord, 'address' | 'containers'>): readonly Family[] {
  const families = FAMILIES.filter(
    family => address[family] !== undefined || containers.some(({ ip }) => ip[family] !== undefined),
  );
  return families.length === 0 ? ['ipv4'] : families;
}
