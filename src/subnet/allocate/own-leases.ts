/**
 * Which of the leases in the store are this host's: those with its id, when the id is not the only evidence. A host
 * without a lease by its id had another one before, which it lost with its disk, or ran flanneld. Then a lease with its
 * address or its machine is its own, unless the holder answers; flannel's are known by their address alone.
 */
import type { Clock } from '../../base/clock.ts';
import { FAMILIES } from '../../base/ip.ts';
import { familiesOf } from '../../base/per-family.ts';
import { isLeasable, type NetworkConfig } from '../config/config.ts';
import { askHolder } from '../lease/claim.ts';
import {
  hasLostExpiry,
  isReservation,
  type Lease,
  type LeaseAttributes,
  overlaps,
  type Subnet,
  shareAddress,
} from '../lease/lease.ts';
import { checkSubnet } from '../lease/lease-check.ts';
import type { Registry } from '../registry.ts';
import { evidenceOf } from './identity.ts';

export interface Applicant {
  readonly config: NetworkConfig;
  /** What this host publishes. */
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  /** The subnet of the last run, from subnet.env. */
  readonly previous?: Subnet;
  /** Keys that a host with our public address and without an identity (flannel) took from us: they are in use. */
  readonly avoid?: ReadonlySet<string>;
}

export type MatchedBy = 'host id' | 'earlier identity' | 'public address';

export interface OwnLease {
  readonly lease: Lease;
  readonly matchedBy: MatchedBy;
}

export type Proof =
  | { readonly outcome: 'proven'; readonly own: readonly OwnLease[] }
  /** A running host has our id, and this lease. */
  | { readonly outcome: 'conflict'; readonly lease: Lease }
  /** Another host changed a lease meanwhile. */
  | { readonly outcome: 'changed' };

export interface AskContext {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Keys whose holders have answered; grows. */
  readonly alive: Set<string>;
}

/** Whether a lease may turn out to be this host's. */
export function mayBeOwn({ attributes }: Lease, own: Applicant['attributes']): boolean {
  return evidenceOf(attributes, own) !== 'none';
}

/** @param leases those that may be own. @throws StoreError; the signal's reason on abort */
export async function proveOwn(
  registry: Registry,
  leases: readonly Lease[],
  { attributes: own, avoid }: Applicant,
  context: AskContext,
): Promise<Proof> {
  const byId = leases.filter(({ attributes }) => attributes.hostId === own.hostId);
  const isFirstContact = byId.length === 0;
  const isKnownHere = byId.some(
    ({ attributes: { machine } }) => machine !== undefined && machine === own.machine,
  );
  // What copies of this host have takes nothing from a lease of this very machine. Nor are they asked for it: they would
  // all ask each other, and each question changes what the others have just read.
  const ofThisHost = isKnownHere
    ? byId.filter(({ attributes }) => evidenceOf(attributes, own) !== 'copy')
    : byId;
  const rest = leases.filter(
    lease =>
      !byId.includes(lease) &&
      avoid?.has(lease.key) !== true &&
      !context.alive.has(lease.key) &&
      (isFirstContact || concernsAlways(lease, own)),
  );
  const proofs = await Promise.all(
    [...ofThisHost, ...rest].map(lease => proveOne(registry, lease, own, context)),
  );
  return (
    proofs.find(({ outcome }) => outcome === 'conflict') ??
    proofs.find(({ outcome }) => outcome === 'changed') ?? {
      outcome: 'proven',
      own: proofs.flatMap(proof => (proof.outcome === 'proven' ? proof.own : [])),
    }
  );
}

/** A reservation for an address is for the host that has it; a lease that this machine left behind is to be removed. */
function concernsAlways(lease: Lease, own: Applicant['attributes']): boolean {
  const { machine } = lease.attributes;
  if (isReservation(lease)) return shareAddress(own, lease.attributes);
  return machine !== undefined && machine === own.machine;
}

async function proveOne(
  registry: Registry,
  lease: Lease,
  own: Applicant['attributes'],
  context: AskContext,
): Promise<Proof> {
  const { hostId } = lease.attributes;
  const proven = (matchedBy: MatchedBy, proof = lease) =>
    ({ outcome: 'proven', own: [{ lease: proof, matchedBy }] }) as const;
  // A flannel host has no identity but its address, and does not answer claims.
  if (hostId === undefined) return proven('public address');
  const evidence = evidenceOf(lease.attributes, own);
  const isSameId = hostId === own.hostId;
  if (evidence === 'certain') return proven('host id');

  const answer = await askHolder(registry, lease, own, context);
  if (answer.type === 'changed') return { outcome: 'changed' };
  if (answer.type === 'silent' && evidence === 'likely') {
    return proven(isSameId ? 'host id' : 'earlier identity', answer.lease);
  }
  if (isSameId) return { outcome: 'conflict', lease };
  context.alive.add(lease.key);
  return { outcome: 'proven', own: [] };
}

/** The lease to go on with, of those that fit the configuration; undefined when none does. */
export function chooseOwn(own: readonly OwnLease[], { config, previous }: Applicant): OwnLease | undefined {
  const order: readonly ((candidate: OwnLease) => boolean)[] = [
    ({ lease, matchedBy }) => isPinned(lease) && matchedBy === 'host id',
    ({ lease }) => isPinned(lease),
    ({ matchedBy }) => matchedBy === 'host id',
    ({ lease }) => previous !== undefined && overlaps(lease.subnet, previous),
    ({ matchedBy }) => matchedBy === 'earlier identity',
    () => true,
  ];
  const fitting = own.filter(({ lease }) => fits(lease, config));
  return order.map(test => fitting.find(test)).find(found => found !== undefined);
}

/** Whether a lease has no expiry, and is to have none. */
export function isPinned(lease: Lease): boolean {
  return isReservation(lease) && !hasLostExpiry(lease);
}

/** A reservation may be of another length, and outside the range that is given out by itself. */
function fits(lease: Lease, config: NetworkConfig): boolean {
  const { subnet } = lease;
  if (!isPinned(lease)) return FAMILIES.every(family => isLeasable(config[family], subnet[family]));
  const isOfFamilies = familiesOf(config).join() === familiesOf(subnet).join();
  return isOfFamilies && checkSubnet(subnet, config) === undefined;
}
