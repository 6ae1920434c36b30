/**
 * What a host's certificate allows below `networks/`: the keys of this host on networks that there are.
 *
 *     member    its own, with addresses that no other host has, or from there; on a store lease
 *     endpoint  that name it, in the subnet, with a MAC address that no container of another host has; on a store lease
 *     range     one more of the length that the network gives out, which overlaps no other; without expiry
 *     delete    what is its own, and what is left of a network that is gone
 *     network   a new one (making-rules.ts); to change and to delete one is an administrator's
 */
import { ParseError } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import { valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { RestrictedCaller } from '../etcdserver/auth/authorizer.ts';
import { isAddressOfHost } from '../subnet/segment/check-segment.ts';
import type { Segment, SegmentEndpoint, SegmentMember, SegmentRange } from '../subnet/segment/segment.ts';
import type { SegmentContext } from '../subnet/segment/segment-context.ts';
import { parseSegmentKey, type SegmentKey } from '../subnet/segment/segment-key.ts';
import { makingProblem } from './making-rules.ts';
import type { NetworkWrites, WriteBelow } from './proposed-writes.ts';
import { decodeEntry, hostIdOfEntry, SegmentLedger } from './segment-ledger.ts';

/** Over all networks. A host with more containers than this has others before it. */
const MOST_ENDPOINTS = 4096;
const MOST_RANGES = 256;

/** Whether another host than the caller has this underlay address, as far as leases say. */
export type IsAddressOfOther = (caller: RestrictedCaller, address: Ip) => boolean;

export class SegmentRules {
  readonly #ledger = new SegmentLedger();
  readonly #isAddressOfOther: IsAddressOfOther;
  /** Keys of networks, also of those that nobody can read. */
  readonly #configs = new Set<string>();
  readonly #vnis = new Map<number, string>();

  constructor(isAddressOfOther: IsAddressOfOther) {
    this.#isAddressOfOther = isAddressOfOther;
  }

  clear(): void {
    this.#ledger.clear();
    this.#configs.clear();
    this.#vnis.clear();
  }

  /** @param name of the network that has this VNI; undefined when none has it any more */
  takeVni(vni: number, name: string | undefined): void {
    if (name === undefined) this.#vnis.delete(vni);
    else this.#vnis.set(vni, name);
  }

  /** Why no host may make a network by these writes. */
  refusesMaking(
    { network: { key, next }, vni, owner }: NetworkWrites,
    of: Pick<SegmentContext, 'networks' | 'overlayVni' | 'hostAddresses'>,
  ): string | undefined {
    const parsed = parseSegmentKey(key);
    if (parsed?.kind !== 'config') return 'what a host has on L2 networks is written on its own';
    const { name } = parsed;
    const making = { name, config: next, vni, owner, isThere: this.#configs.has(key) };
    return makingProblem(making, { ...of, segments: this.#ledger.segments(), vnis: this.#vnis });
  }

  /** @param key below `networks/`, as all here; @param value undefined when it is deleted */
  take(key: string, value: Uint8Array | undefined): void {
    const parsed = parseSegmentKey(key);
    if (parsed === undefined) return;
    if (parsed.kind === 'config') {
      if (value === undefined) this.#configs.delete(key);
      else this.#configs.add(key);
    }
    const entry = value && readable(parsed, value);
    if (entry === undefined) this.#ledger.delete(key, parsed.name);
    else this.#ledger.put(key, parsed.name, entry);
  }

  owns(hostId: string, key: string): boolean {
    const entry = this.#ledger.get(key);
    return entry !== undefined && hostIdOfEntry(entry) === hostId;
  }

  /** Why this caller may not do these writes, which happen together. */
  refuses(caller: RestrictedCaller, writes: readonly WriteBelow[]): string | undefined {
    let [endpoints, ranges] = [0, 0];
    for (const { key, next } of writes) {
      const parsed = parseSegmentKey(key);
      if (parsed === undefined) return `${key} is no key of an L2 network`;
      if (parsed.kind === 'config') return 'only an administrator changes and deletes L2 networks';
      // Nobody writes there any more, and who makes it again begins with nothing.
      if (next === undefined && !this.#configs.has(`${parsed.name}/config`)) continue;
      const present = this.#ledger.get(key);
      const isOwn = present === undefined || hostIdOfEntry(present) === caller.name;
      if (!isOwn) return `${key} is not of this host`;
      if (next === undefined) continue;
      const wrong = this.#putProblem(caller, parsed, next);
      if (wrong !== undefined) return wrong;
      if (present === undefined && parsed.kind === 'endpoint') endpoints++;
      if (present === undefined && parsed.kind === 'range') ranges++;
    }
    // Two of one request could overlap each other.
    if (ranges > 1) return 'a host leases one range at a time';
    const counts = this.#ledger.countsOf(caller.name);
    if (endpoints > 0 && counts.endpoints + endpoints > MOST_ENDPOINTS) {
      return `a host may have ${MOST_ENDPOINTS} endpoints on L2 networks`;
    }
    if (ranges > 0 && counts.ranges + ranges > MOST_RANGES) {
      return `a host may have ${MOST_RANGES} ranges of L2 networks`;
    }
    return undefined;
  }

  /** Why an address cannot be that of a container of a host on the network of this name, if it cannot. */
  addressProblem(hostId: string, name: string, ip: Ip): string | undefined {
    const segment = this.#ledger.segment(name);
    if (segment === undefined) return `there is no network ${name}`;
    const subnet = segment.subnets[ip.family];
    if (subnet === undefined || !isAddressOfHost(ip, subnet)) {
      return `${ip} is no address that a container of ${name} can have`;
    }
    const entry = this.#ledger.get(`${name}/endpoints/${ip}`);
    const owner = entry && hostIdOfEntry(entry);
    return owner === undefined || owner === hostId
      ? undefined
      : `${ip} on ${name} is the address of a container of another host`;
  }

  #putProblem(
    caller: RestrictedCaller,
    key: SegmentKey,
    { value, lease }: { readonly value: Uint8Array; readonly lease: bigint },
  ): string | undefined {
    let entry: ReturnType<typeof decodeEntry>;
    try {
      entry = decodeEntry(key, value);
    } catch (error) {
      if (error instanceof ParseError) return error.message;
      throw error;
    }
    const hostId = hostIdOfEntry(entry);
    if (hostId !== caller.name) return `it names the host ${hostId}, but the certificate ${caller.name}`;
    const segment = this.#ledger.segment(key.name);
    if (segment === undefined) return `there is no network ${key.name}`;
    switch (entry.kind) {
      case 'config':
        return undefined;
      case 'member':
        return expiryProblem(lease) ?? this.#memberProblem(caller, entry.member);
      case 'endpoint':
        return expiryProblem(lease) ?? this.#endpointProblem(segment, entry.endpoint);
      case 'range':
        if (lease !== 0n) return 'a range has no expiry, and this one is on a store lease';
        return this.#rangeProblem(segment, entry.range);
    }
  }

  #memberProblem(caller: RestrictedCaller, { hostId, addresses }: SegmentMember): string | undefined {
    for (const address of valuesOf(addresses)) {
      if (caller.address === `${address}`) continue;
      const isOfMember = this.#ledger.hostsOfAddress(address).some(other => other !== hostId);
      if (isOfMember || this.#isAddressOfOther(caller, address)) {
        return `${address} is the address of another host`;
      }
    }
    return undefined;
  }

  #endpointProblem(segment: Segment, { ip, mac, hostId }: SegmentEndpoint): string | undefined {
    const { name, subnets, gateways, docker } = segment;
    const subnet = subnets[ip.family];
    if (subnet === undefined || !isAddressOfHost(ip, subnet) || gateways[ip.family]?.equals(ip)) {
      return `${ip} is no address that a container of ${name} can have`;
    }
    if ([...this.#ledger.hostsOfMac(name, mac)].some(other => other !== hostId)) {
      return `${mac} is the MAC address of a container of another host`;
    }
    if (!docker) return undefined;
    const isOfOther = [...this.#ledger.ranges(name)].some(
      range => range.hostId !== hostId && range.block.contains(ip),
    );
    return isOfOther ? `${ip} is in the range of another host, where Docker gives addresses out` : undefined;
  }

  #rangeProblem(segment: Segment, { block, hostId }: SegmentRange): string | undefined {
    const { name, subnets, rangeLengths } = segment;
    const subnet = subnets[block.family];
    const length = rangeLengths[block.family];
    if (subnet?.contains(block) !== true || block.length !== length) {
      return `${block} is no range of the network ${name}`;
    }
    if (block.equals(Prefix.of(subnet.ip, length))) return `${block} is for addresses that are given by hand`;
    const other = [...this.#ledger.ranges(name)].find(
      range => range.block.overlaps(block) && !(range.hostId === hostId && range.block.equals(block)),
    );
    return other === undefined ? undefined : `${block} overlaps ${other.block}`;
  }
}

/** What expires keeps no address and no flooded frame for a host that is gone. */
const expiryProblem = (lease: bigint) =>
  lease === 0n ? 'what a host has on an L2 network must be on a store lease' : undefined;

function readable(key: SegmentKey, value: Uint8Array) {
  try {
    return decodeEntry(key, value);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
