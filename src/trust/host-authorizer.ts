/**
 * What a host's certificate allows: to read everything, and to write its own lease, what it has on L2 networks
 * (segment-rules.ts), a new one of these, and how its containers are called (name-rules.ts).
 *
 *     whose     a lease is its own when the value names the host of the certificate (`TulleHost`), before and after the
 *               write. A reservation for an address may be taken by a host that comes from this address.
 *     what      a key and a value that every host of the network would accept, and for a new key a subnet that the
 *               network gives out and no host has. A public address that another lease publishes only from there.
 *     how many  one lease; two while it moves to another subnet
 *
 * Writes are judged together, as they happen. A reservation, the configuration and all else is an administrator's.
 */
import { posix } from 'node:path';
import { FAMILIES, type Ip } from '../base/ip.ts';
import { familiesOf } from '../base/per-family.ts';
import type { Authorizer, ProposedWrite, RestrictedCaller } from '../etcdserver/auth/authorizer.ts';
import { keyText } from '../etcdserver/kv/range.ts';
import type { KeyChange } from '../etcdserver/mvcc/mvcc.ts';
import type { Kv } from '../etcdserver/sqlite/tables.ts';
import type { KeyValue } from '../store/store.ts';
import { type FamilyConfig, isLeasable, type NetworkConfig, networksOf } from '../subnet/config/config.ts';
import { readConfig } from '../subnet/config/config-watch.ts';
import {
  addressesOf,
  addressOf,
  blocksOf,
  decodeLease,
  formatSubnet,
  isLease,
  isReservation,
  type Lease,
  type RejectedLease,
} from '../subnet/lease/lease.ts';
import { checkLease } from '../subnet/lease/lease-check.ts';
import { takenWithin } from '../subnet/lease/taken-blocks.ts';
import { NameKeys } from '../subnet/names/name-key.ts';
import { OVERLAY_NAMES } from '../subnet/names/names.ts';
import { overlayVniOf } from '../subnet/segment/segment-context.ts';
import { SegmentKeys } from '../subnet/segment/segment-key.ts';
import { ORGANIZATION } from './authority.ts';
import { LeaseLedger } from './lease-ledger.ts';
import { NameRules } from './name-rules.ts';
import { makingIn, writesBelow } from './proposed-writes.ts';
import { SegmentRules } from './segment-rules.ts';

/** Leases of one host: that from which it moves, and that to which. */
const MOST_LEASES = 2;
/** Bytes of a value; a lease with both families and a WireGuard key takes about 500. */
const MOST_BYTES = 4096;
/** A host has one store lease, and leaves one behind each time it is killed before it has used it. */
const STORE_LEASES = { most: 16, longest: 7n * 86_400n };

export class HostAuthorizer implements Authorizer {
  readonly organization = ORGANIZATION.host;
  readonly storeLeases = STORE_LEASES;
  readonly keys: Authorizer['keys'];
  readonly #configKey: string;
  /** What the keys of leases begin with. */
  readonly #directory: string;
  readonly #ledger = new LeaseLedger();
  readonly #segmentKeys: SegmentKeys;
  readonly #segments = new SegmentRules((caller, address) => this.#isAddressOfOther(caller, address));
  readonly #nameKeys: NameKeys;
  readonly #names = new NameRules((hostId, network, ip) =>
    network === OVERLAY_NAMES
      ? this.#overlayProblem(hostId, ip)
      : this.#segments.addressProblem(hostId, network, ip),
  );
  /** The last valid one: hosts keep working with it too. */
  #config: NetworkConfig | undefined;

  /** @param prefix root of the network's keys: `/coreos.com/network` */
  constructor(prefix: string) {
    const root = keyText(new TextEncoder().encode(prefix));
    this.#configKey = posix.join(root, 'config');
    this.#directory = posix.join(root, 'subnets/');
    this.#segmentKeys = new SegmentKeys(root);
    this.#nameKeys = new NameKeys(root);
    // Between the two are `names/`, `networks/` and `subnets/`; "0" comes after "/".
    this.keys = { start: bytesOf(this.#configKey), end: bytesOf(posix.join(root, 'vnis0')) };
  }

  reset(kvs: Iterable<Kv>): void {
    this.#ledger.clear();
    this.#segments.clear();
    this.#names.clear();
    for (const kv of kvs) this.#take(kv);
  }

  follow({ type, kv }: KeyChange): void {
    if (type === 'put') this.#take(kv);
    else {
      const key = this.#keyOf(kv.key);
      if (key !== undefined) this.#ledger.delete(key);
      const segmentKey = this.#segmentKeyOf(kv.key);
      if (segmentKey !== undefined) this.#segments.take(segmentKey, undefined);
      const vni = this.#segmentKeys.vniBelow(keyText(kv.key));
      if (vni !== undefined) this.#segments.takeVni(vni, undefined);
      const nameKey = this.#nameKeyOf(kv.key);
      if (nameKey !== undefined) this.#names.take(nameKey, undefined);
    }
  }

  owns(hostId: string, path: Uint8Array): boolean {
    const segmentKey = this.#segmentKeyOf(path);
    if (segmentKey !== undefined) return this.#segments.owns(hostId, segmentKey);
    const nameKey = this.#nameKeyOf(path);
    if (nameKey !== undefined) return this.#names.owns(hostId, nameKey);
    const key = this.#keyOf(path);
    return key !== undefined && this.#ledger.keysOfHost(hostId).has(key);
  }

  refuses(caller: RestrictedCaller, writes: readonly ProposedWrite[]): string | undefined {
    const onSegments = writesBelow(writes, path => this.#segmentKeyOf(path));
    const making = makingIn(writes, this.#segmentKeys);
    if (making !== undefined) {
      return this.#segments.refusesMaking(making, {
        networks: this.#config === undefined ? [] : networksOf(this.#config),
        overlayVni: overlayVniOf(this.#config),
        hostAddresses: this.#ledger.addresses(),
      });
    }
    if (onSegments.length > 0) {
      if (onSegments.length < writes.length) return 'what a host has on L2 networks is written on its own';
      return this.#segments.refuses(caller, onSegments);
    }
    const names = writesBelow(writes, path => this.#nameKeyOf(path));
    if (names.length > 0) {
      if (names.length < writes.length) return 'names of containers are written on their own';
      return this.#names.refuses(caller, names);
    }
    return this.#refusesLeases(caller, writes);
  }

  #refusesLeases(caller: RestrictedCaller, writes: readonly ProposedWrite[]): string | undefined {
    const leases = writes.map(({ key, next }) => ({ key: this.#keyOf(key) ?? '', path: key, next }));
    if (leases.some(({ key }) => key === ''))
      return `a host may write only leases below ${this.#directory}, what it has on L2 networks, and names`;
    const gone = new Set(leases.flatMap(({ key, next }) => (next === undefined ? key : [])));
    for (const { key, path, next } of leases) {
      const wrong =
        next === undefined
          ? this.#deletionProblem(caller, key)
          : this.#putProblem(caller, decode(key, path, next), next.value.byteLength, gone);
      if (wrong !== undefined) return wrong;
    }
    const own = this.#ledger.keysOfHost(caller.name);
    const after = new Set([...own, ...leases.map(({ key }) => key)]);
    const grows = after.size > own.size;
    for (const key of gone) after.delete(key);
    if (!grows || after.size <= MOST_LEASES) return undefined;
    return `a host may have one lease, or two while it moves; this would be ${after.size}`;
  }

  #deletionProblem({ name }: RestrictedCaller, key: string): string | undefined {
    const present = this.#ledger.get(key);
    if (present === undefined || this.#ledger.keysOfHost(name).has(key)) return undefined;
    return `${key} is not a lease of this host`;
  }

  #putProblem(
    caller: RestrictedCaller,
    lease: Lease | RejectedLease,
    bytes: number,
    gone: ReadonlySet<string>,
  ): string | undefined {
    if (bytes > MOST_BYTES) return `the value has ${bytes} bytes; a lease has ${MOST_BYTES} at most`;
    if (!isLease(lease)) return lease.reason;
    const { key, attributes } = lease;
    if (attributes.hostId !== caller.name) {
      return `the lease ${key} belongs to ${attributes.hostId ?? 'no host'}, but the certificate to ${caller.name}`;
    }
    const present = this.#ledger.get(key);
    if (present !== undefined && !this.#mayTake(caller, present)) return `${key} is not a lease of this host`;
    if (this.#config === undefined) return 'the network has no valid configuration';
    const checked = checkLease(lease, { config: this.#config, ownAddresses: [] });
    if (!isLease(checked)) return `the lease ${key} ${checked.reason}`;
    const wrong = present === undefined ? this.#subnetProblem(lease, this.#config, gone) : undefined;
    return wrong ?? this.#addressProblem(caller, lease) ?? reservationProblem(lease, present);
  }

  /** Whether a host may write where this is. */
  #mayTake(caller: RestrictedCaller, present: Lease | RejectedLease): boolean {
    if (this.#ledger.keysOfHost(caller.name).has(present.key)) return true;
    if (!isLease(present) || !isReservation(present)) return false;
    const { hostId } = present.attributes;
    const reservedFor = addressOf(present.attributes);
    return hostId === undefined && reservedFor !== undefined && comesFrom(caller, reservedFor.toString());
  }

  /** A new lease must be one that the network gives out now, and free. */
  #subnetProblem(
    { key, subnet }: Lease,
    config: NetworkConfig,
    gone: ReadonlySet<string>,
  ): string | undefined {
    if (!FAMILIES.every(family => isLeasable(config[family], subnet[family]))) {
      const ranges = familiesOf(config).map(family => rangeOf(config[family]));
      return `the network gives out ${ranges.join(' with ')}, and not ${formatSubnet(subnet)}`;
    }
    for (const block of blocksOf(subnet)) {
      const takenBlocks = takenWithin(this.#ledger.overlapping(block), config);
      const other = takenBlocks.find(claim => !gone.has(claim.key));
      if (other !== undefined) return `the lease ${key} overlaps ${other.key}`;
    }
    return undefined;
  }

  /** A host deletes no lease but its own, so no other one can be on its way out. */
  #addressProblem(caller: RestrictedCaller, { attributes }: Lease): string | undefined {
    for (const address of addressesOf(attributes)) {
      const other = this.#otherLeaseOf(caller, address);
      if (other !== undefined) return `the public address ${address} is that of the lease ${other}`;
    }
    return undefined;
  }

  /** The lease of another host that publishes an address from which the caller does not come. */
  #otherLeaseOf(caller: RestrictedCaller, address: Ip): string | undefined {
    if (comesFrom(caller, address.toString())) return undefined;
    const own = this.#ledger.keysOfHost(caller.name);
    return [...this.#ledger.keysOfAddress(address)].find(key => !own.has(key));
  }

  #isAddressOfOther(caller: RestrictedCaller, address: Ip): boolean {
    return this.#otherLeaseOf(caller, address) !== undefined;
  }

  /** Why an address cannot be that of a container of a host on the overlay, if it cannot. */
  #overlayProblem(hostId: string, ip: Ip): string | undefined {
    const leases = [...this.#ledger.keysOfHost(hostId)].map(key => this.#ledger.get(key));
    const isOwn = leases.some(
      lease =>
        lease !== undefined && isLease(lease) && blocksOf(lease.subnet).some(block => block.contains(ip)),
    );
    return isOwn ? undefined : `${ip} is not in the subnet of this host`;
  }

  #take(kv: Kv): void {
    const path = keyText(kv.key);
    if (path === this.#configKey) {
      const reading = readConfig(kv.value);
      if (reading.state === 'valid') this.#config = reading.config;
    }
    const vni = this.#segmentKeys.vniBelow(path);
    if (vni !== undefined) this.#segments.takeVni(vni, keyText(kv.value));
    const key = this.#keyOf(kv.key);
    if (key !== undefined) this.#ledger.put(key, { ...kv, key: path });
    const segmentKey = this.#segmentKeys.below(path);
    if (segmentKey !== undefined) this.#segments.take(segmentKey, kv.value);
    const nameKey = this.#nameKeys.below(path);
    if (nameKey !== undefined) this.#names.take(nameKey, kv.value);
  }

  /** The part of a key below `names/`; undefined for all other keys. */
  #nameKeyOf(path: Uint8Array): string | undefined {
    return this.#nameKeys.below(keyText(path));
  }

  /** The part of a key below `networks/`; undefined for all other keys. */
  #segmentKeyOf(path: Uint8Array): string | undefined {
    return this.#segmentKeys.below(keyText(path));
  }

  /** The last part of a lease's key; undefined for all other keys. */
  #keyOf(path: Uint8Array): string | undefined {
    const text = keyText(path);
    return text.startsWith(this.#directory) ? text.slice(this.#directory.length) : undefined;
  }
}

function reservationProblem(lease: Lease, present: Lease | RejectedLease | undefined): string | undefined {
  if (!isReservation(lease) || (present && isLease(present) && isReservation(present))) return undefined;
  return 'a lease without a store lease is a reservation, which only an administrator can create';
}

/** What will be there, with revisions that nothing here asks for. */
function decode(key: string, path: Uint8Array, { value, lease }: { value: Uint8Array; lease: bigint }) {
  const kv: KeyValue = {
    key: keyText(path),
    value,
    lease,
    createRevision: 0n,
    modRevision: 0n,
    version: 0n,
  };
  return decodeLease(key, kv);
}

/** Whether a caller has this address. One that comes by loopback is on the machine that keeps the store. */
function comesFrom({ address: from }: RestrictedCaller, address: string): boolean {
  return from === address || from === '::1' || from.startsWith('127.');
}

/** The bytes of what `keyText` has made: no two keys look alike, as they may in UTF-8. */
const bytesOf = (text: string) => Buffer.from(text, 'latin1');

const rangeOf = (family: FamilyConfig | undefined) =>
  family && `/${family.subnetLength} from ${family.subnetMin} to ${family.subnetMax}`;
