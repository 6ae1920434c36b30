/** What the lease commands do, given a registry. */
import type { Ip } from '../base/ip.ts';
import { parallel } from '../base/parallel.ts';
import { byFamily, familiesOf, type PerFamily, valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { CommandError } from '../console/errors.ts';
import { formatDuration } from '../console/format.ts';
import { formatJson, note, paint, print, printJson, warn } from '../console/output.ts';
import { formatFacts, formatTable, wrap } from '../console/table.ts';
import type { StoreUpdate } from '../store/store.ts';
import { reserve } from '../subnet/allocate/reservations.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { parseLeaseKey } from '../subnet/lease/key.ts';
import { formatSubnet, isLease, isReservation, type Lease, type Subnet } from '../subnet/lease/lease.ts';
import type { Registry } from '../subnet/registry.ts';
import {
  changeLine,
  expiryOf,
  hostOf,
  LEASE_COLUMNS,
  type LeaseRow,
  leaseJson,
  publicAddressesOf,
} from './lease-view.ts';

interface Format {
  readonly json?: true;
}

/** The store answers for one lease at a time; this many questions are on their way together. */
const QUESTIONS = 32;

export async function listLeases(registry: Registry, { json }: Format): Promise<void> {
  const { leases, rejected } = await registry.list();
  const rows = await withExpiry(registry, leases);
  if (json) {
    printJson({ leases: rows.map(leaseJson), rejected });
    return;
  }
  if (rows.length === 0) print('No leases.');
  else print(formatTable(LEASE_COLUMNS, rows));
  for (const { key, reason } of rejected) warn(`${key} is not a lease: ${reason}`, { cut: true });
}

export async function showLease(registry: Registry, which: string, { json }: Format): Promise<void> {
  const [row] = await withExpiry(registry, [await find(registry, which)]);
  if (row === undefined) return;
  if (json) {
    printJson(leaseJson(row));
    return;
  }
  const { attributes, key, subnet, createRevision, modRevision } = row.lease;
  const data = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  print(
    formatFacts([
      ['subnet', formatSubnet(subnet)],
      ['key', registry.pathOf(key)],
      ['public ip', publicAddressesOf(row.lease) || undefined],
      ['host', hostOf(row.lease)],
      ['host id', attributes.hostId],
      ['backend', attributes.backendType],
      ['data', data(attributes.backendData?.ipv4)],
      ['IPv6 data', data(attributes.backendData?.ipv6)],
      ['expires', expiryOf(row)],
      ['revision', `${modRevision}, made at ${createRevision}`],
    ]),
  );
}

export async function reserveSubnet(
  registry: Registry,
  text: string,
  { publicIp, host }: { readonly publicIp: PerFamily<Ip>; readonly host?: string },
): Promise<void> {
  const subnet = parseSubnet(text);
  if (familiesOf(publicIp).length === 0 && host === undefined) {
    throw new CommandError('USAGE', 'no host is given', 'give --public-ip, --public-ipv6 or --host');
  }
  const { kv } = await registry.store.get(registry.configKey);
  if (kv === undefined) {
    throw new CommandError(
      'NOT_FOUND',
      'the network has no configuration',
      'store one with `tulle config set`',
    );
  }
  const { config } = parseNetworkConfig(new TextDecoder().decode(kv.value));
  const result = await reserve(registry, config, subnet, {
    publicIp,
    ...(host === undefined ? {} : { hostId: await hostIdOf(registry, host) }),
  });
  if (!result.ok) {
    throw new CommandError('NOT_NOW', `${formatSubnet(subnet)} cannot be reserved: ${result.reason}`);
  }
  note(`reserved ${formatSubnet(subnet)}`);
}

export async function releaseLease(registry: Registry, which: string, force: boolean): Promise<void> {
  const lease = await find(registry, which);
  if (!isReservation(lease) && !force) {
    const [row] = await withExpiry(registry, [lease]);
    const left = row?.remaining === undefined ? '' : ` for another ${formatDuration(row.remaining * 1000)}`;
    throw new CommandError(
      'NOT_NOW',
      `${publicAddressesOf(lease) || 'a host'} holds ${formatSubnet(lease.subnet)}${left}`,
      'use --force to release it; a host that still runs then gets another subnet',
    );
  }
  const result = await registry.remove(lease);
  if (!result.ok)
    throw new CommandError('NOT_NOW', `${lease.key} has just changed`, 'check it and try again');
  note(`released ${formatSubnet(lease.subnet)}`);
}

/** Prints changes until the signal aborts. */
export async function watchLeases(registry: Registry, signal: AbortSignal, { json }: Format): Promise<void> {
  const known = new Map<string, Lease>();
  const say = (sign: '+' | '~' | '-', lease: Lease) =>
    print(json ? formatJson({ change: sign, ...leaseJson({ lease }) }) : wrap(changeLine(sign, lease), 2));
  for await (const update of registry.store.observe(registry.subnetsPrefix, { signal })) {
    for (const { key, lease } of changesOf(registry, update, known)) {
      const before = known.get(key);
      if (lease !== undefined) {
        if (before?.modRevision !== lease.modRevision) say(before === undefined ? '+' : '~', lease);
        known.set(key, lease);
      } else if (before !== undefined) {
        say('-', before);
        known.delete(key);
      }
    }
  }
}

/** Keys with the lease they have now; without one when it is gone, or is not a lease any more. */
function changesOf(
  registry: Registry,
  update: StoreUpdate,
  known: ReadonlyMap<string, Lease>,
): readonly { readonly key: string; readonly lease?: Lease }[] {
  const read = (kv: Parameters<Registry['decode']>[0]) => {
    const lease = registry.decode(kv);
    return isLease(lease) ? { key: kv.key, lease } : { key: kv.key };
  };
  switch (update.type) {
    case 'snapshot': {
      const present = new Set(update.kvs.map(({ key }) => key));
      const gone = [...known.keys()].filter(key => !present.has(key));
      return [...gone.map(key => ({ key })), ...update.kvs.map(read)];
    }
    case 'events':
      return update.events.map(event => (event.type === 'put' ? read(event.kv) : { key: event.key }));
    case 'interrupted':
      note(`${paint('yellow', 'no contact with the store')}: ${update.error.message}`);
      return [];
    case 'resumed':
      note('in contact with the store again');
      return [];
  }
}

/** By subnet (of two families one is enough), key, public address, host name or host id. @throws CommandError unless there is exactly one. */
async function find(registry: Registry, which: string): Promise<Lease> {
  const { leases, rejected } = await registry.list();
  const blocks = which.includes('/') ? valuesOf(parseSubnet(which)) : [];
  const has = ({ subnet }: Lease) =>
    blocks.length > 0 && blocks.every(block => subnet[block.family]?.equals(block));
  const found = leases.filter(
    lease =>
      lease.key === which ||
      has(lease) ||
      lease.attributes.hostId === which ||
      lease.attributes.hostName === which ||
      publicAddressesOf(lease).split(' ').includes(which),
  );
  const [lease, another] = found;
  if (another !== undefined) {
    const all = found.map(({ subnet: of }) => formatSubnet(of)).join(', ');
    throw new CommandError('USAGE', `${found.length} leases are ${which}: ${all}`, 'name one by its subnet');
  }
  if (lease !== undefined) return lease;
  const broken = rejected.find(({ key }) => key === which);
  throw new CommandError(
    'NOT_FOUND',
    broken === undefined ? `no lease is ${which}` : `${which} is not a lease: ${broken.reason}`,
    '`tulle lease list` shows all',
  );
}

/** The id of the host of that name; what is not a name is an id. @throws CommandError when several have the name */
async function hostIdOf(registry: Registry, host: string): Promise<string> {
  const { leases } = await registry.list();
  const named = leases.filter(({ attributes }) => attributes.hostName === host);
  const ids = [...new Set(named.map(({ attributes }) => attributes.hostId ?? host))];
  if (ids.length < 2) return ids[0] ?? host;
  throw new CommandError(
    'USAGE',
    `${ids.length} hosts are named ${host}: ${ids.join(', ')}`,
    'give the id of one',
  );
}

/** `10.5.34.0/24`, the same with `, fd00::/64`, or the key of a lease. @throws ParseError */
function parseSubnet(text: string): Subnet {
  if (!text.includes('/')) return parseLeaseKey(text);
  const blocks = text.split(',').map(part => Prefix.parse(part.trim()));
  const subnet = byFamily(...blocks);
  if (blocks.length === valuesOf(subnet).length) return subnet;
  throw new CommandError('USAGE', `${text} is more than one block per family`);
}

function withExpiry(registry: Registry, leases: readonly Lease[]): Promise<LeaseRow[]> {
  return parallel(leases, { limit: QUESTIONS }, lease => rowOf(registry, lease));
}

async function rowOf(registry: Registry, lease: Lease): Promise<LeaseRow> {
  if (isReservation(lease)) return { lease };
  const left = await registry.store.timeToLive(lease.storeLease);
  return left === undefined ? { lease } : { lease, remaining: left.remaining };
}
