/**
 * The other hosts of the overlay, as this host knows them: from its agent, and where that does not answer from the leases
 * that it has left on the disk (src/agent/state/known-state.ts).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { PeerStatus, Status } from '../../api/status.ts';
import { isObject } from '../../base/fields.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { STATE_DIRECTORY } from '../../console/defaults.ts';
import { decodeAttributes } from '../../subnet/lease/attributes.ts';
import { parseLeaseKey } from '../../subnet/lease/key.ts';
import type { LeaseAttributes } from '../../subnet/lease/lease.ts';
import { addressesIn, prefixesIn } from './overlay.ts';

export interface Peer {
  /** What it calls itself, or its subnet. */
  readonly name: string;
  readonly subnets: readonly Prefix[];
  readonly publicIps: readonly Ip[];
  readonly backendType?: string;
  /** Names of the links that packets for it should leave by; absent where that is not known. */
  readonly links?: readonly string[];
  /** Whether the agent says that all of it is in the kernel; absent without an agent. */
  readonly isProgrammed?: boolean;
  /** Of its end of the tunnel. */
  readonly vtepMacs: PerFamily<Mac>;
}

/** A lease as the agent has left it on the disk. */
export interface KnownLease {
  readonly subnets: readonly Prefix[];
  readonly attributes: LeaseAttributes;
  readonly vtepMacs: PerFamily<Mac>;
}

/** Subnets of leases with an address of this host: its own, where no file says which they are. */
export const subnetsAt = (leases: readonly KnownLease[], addresses: readonly Ip[]): Prefix[] =>
  leases
    .filter(({ attributes }) =>
      valuesOf(attributes.publicIp).some(ip => addresses.some(address => address.equals(ip))),
    )
    .flatMap(({ subnets }) => [...subnets]);

/** Those that this host can use, without its own. @param own subnets of this host */
export function peersOf(
  status: Status | undefined,
  leases: readonly KnownLease[],
  own: readonly Prefix[],
): Peer[] {
  if (status !== undefined) {
    return status.peers
      .filter(({ state }) => state !== 'rejected' && state !== 'unreachable')
      .map(peer => peerInStatus(peer, leases));
  }
  return leases
    .filter(({ subnets }) => !subnets.some(subnet => own.some(block => block.equals(subnet))))
    .map(peerInLease);
}

function peerInStatus(peer: PeerStatus, leases: readonly KnownLease[]): Peer {
  const { subnet, publicIp, hostName, key, links, state, desired, backendType } = peer;
  const subnets = prefixesIn(Object.values(subnet));
  const lease = leases.find(known => known.subnets.some(block => subnets.some(own => own.equals(block))));
  return {
    name: hostName ?? subnets[0]?.toString() ?? key,
    subnets,
    publicIps: addressesIn(Object.values(publicIp)),
    vtepMacs: lease?.vtepMacs ?? macsIn(desired),
    isProgrammed: state === 'ok',
    ...(links !== undefined && { links }),
    ...(backendType !== undefined && { backendType }),
  };
}

function peerInLease({ subnets, attributes, vtepMacs }: KnownLease): Peer {
  const { hostName, publicIp, backendType } = attributes;
  return {
    name: hostName ?? subnets.join(', '),
    subnets,
    publicIps: valuesOf(publicIp),
    vtepMacs,
    ...(backendType !== undefined && { backendType }),
  };
}

/** `fdb 02:00:00:00:00:01 dev flannel.88 dst 192.168.65.4 self permanent`. */
function macsIn(desired: readonly string[]): PerFamily<Mac> {
  const macOf = (family: Family) =>
    desired
      .map(line => /^fdb (\S+) dev (\S+) /.exec(line) ?? [])
      .find(([, , link = '']) => link.startsWith('flannel-v6.') === (family === 'ipv6'))?.[1];
  return perFamily(family => parsedMac(macOf(family)));
}

function vtepMacsIn({ backendData }: LeaseAttributes): PerFamily<Mac> {
  return perFamily(family => {
    const data = backendData?.[family];
    return parsedMac(isObject(data) ? data['VtepMAC'] : undefined);
  });
}

function parsedMac(value: unknown): Mac | undefined {
  try {
    return typeof value === 'string' ? Mac.parse(value) : undefined;
  } catch {
    return undefined;
  }
}

/** The leases on the disk. */
export const knownLeases = (directory: string = STATE_DIRECTORY): KnownLease[] =>
  knownLines(directory).flatMap(leaseInLine);

/** Names of the devices of the overlay that the agent has made, from the disk. */
export function knownDevices(directory: string = STATE_DIRECTORY): string[] {
  const [heading = ''] = knownLines(directory);
  const [, names = ''] = /^\{"version":1,"devices":\[([^\]]*)\]/.exec(heading) ?? [];
  return [...names.matchAll(/"([^"]+)"/g)].flatMap(([, name = '']) => name);
}

/** Empty where there is no file, several networks have one, or it cannot be read: then less is known. */
function knownLines(directory: string): string[] {
  try {
    const files = readdirSync(directory).filter(name => /^known-[\da-f]{8}\.json$/.test(name));
    const [file] = files;
    if (file === undefined || files.length > 1) return [];
    return readFileSync(join(directory, file), 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** Lines of other keys, and of what is no lease, have none. */
function leaseInLine(line: string): KnownLease[] {
  const [, key, value] = /^\{"key":"([^"]*\/subnets\/[^"]*)","value":"([^"]*)"/.exec(line) ?? [];
  if (key === undefined || value === undefined) return [];
  try {
    const subnets = valuesOf(parseLeaseKey(basename(key)));
    const attributes = decodeAttributes(Buffer.from(value, 'base64'));
    return [{ subnets, attributes, vtepMacs: vtepMacsIn(attributes) }];
  } catch {
    return [];
  }
}
