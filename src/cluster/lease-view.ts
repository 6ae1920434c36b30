/** Leases as a person reads them. */
import { formatDuration } from '../console/format.ts';
import type { Column } from '../console/table.ts';
import { addressesOf, formatSubnet, isReservation, type Lease } from '../subnet/lease/lease.ts';

export interface LeaseRow {
  readonly lease: Lease;
  /** Seconds until it expires; undefined when the store could not say, or when it never does. */
  readonly remaining?: number;
}

export const LEASE_COLUMNS: readonly Column<LeaseRow>[] = [
  { title: 'subnet', cell: ({ lease }) => formatSubnet(lease.subnet) },
  { title: 'public ip', cell: ({ lease }) => publicAddressesOf(lease) },
  { title: 'backend', cell: ({ lease }) => lease.attributes.backendType ?? '' },
  { title: 'expires', cell: expiryOf },
  { title: 'host', cell: ({ lease }) => hostOf(lease) ?? '' },
];

/** What a person calls the host of a lease; undefined for a reservation that no host has taken. */
export function hostOf(lease: Lease): string | undefined {
  const { hostName, hostId } = lease.attributes;
  return hostName ?? hostId ?? (isReservation(lease) ? undefined : 'flannel');
}

export const publicAddressesOf = ({ attributes }: Lease): string => addressesOf(attributes).join(' ');

export function expiryOf({ lease, remaining }: LeaseRow): string {
  if (isReservation(lease)) return 'never, reserved';
  return remaining === undefined ? 'unknown' : `in ${formatDuration(remaining * 1000)}`;
}

/** For `--json`: plain values, and the names that the rest of Tulle uses. */
export function leaseJson({ lease, remaining }: LeaseRow): object {
  const { publicIp, backendType, backendData, hostId, hostName } = lease.attributes;
  return {
    key: lease.key,
    subnet: lease.subnet,
    publicIp,
    backendType,
    backendData,
    hostId,
    hostName,
    reservation: isReservation(lease),
    expiresInSeconds: remaining,
    createRevision: lease.createRevision,
    modRevision: lease.modRevision,
  };
}

/** What changed, in one line: `+ 10.5.34.0/24 192.168.65.4 vxlan docker2`. */
export function changeLine(sign: '+' | '~' | '-', lease: Lease): string {
  return [
    sign,
    formatSubnet(lease.subnet),
    publicAddressesOf(lease),
    lease.attributes.backendType,
    hostOf(lease),
  ]
    .filter(Boolean)
    .join(' ');
}
