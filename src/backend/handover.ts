/**
 * Two backends side by side, while a network goes over from one to the other and every host does so in its own time:
 *
 *     preparing    the devices of the new one are made beside those of the old one, which alone is in use. What the
 *                  kernel refuses is known before a peer relies on it.
 *     handing over peers learn of the new one. Each is reached over what it publishes: by the new one as soon as it has
 *                  published that, until then by the old one. This host receives over both.
 *
 * So no packet is lost, as long as what one has does not replace what the other has: devices of different names do not,
 * nor do routes over a link of the host.
 */
import { defined } from '../base/defined.ts';
import type { DesiredHost, PeerPath } from '../dataplane/desired.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { Backend, PeerPlan } from './backend.ts';

/**
 * Whether peers can tell the two apart, and this host can have both: a device of one has not the name of one of the
 * other, unless it is the same device.
 */
export function canBeSideBySide(from: Backend, to: Backend): boolean {
  const [before, after] = [from.host({}), to.host({})];
  if (before.links.length === 0 || isSame(from.attributes(), to.attributes())) return false;
  if (!isSame(from.forwarder ?? to.forwarder, to.forwarder ?? from.forwarder)) return false;
  const devices = new Map(ownLinks(before).map(link => [link.name, link]));
  return ownLinks(after).every(link => isSame(devices.get(link.name) ?? link, link));
}

/** Everything as `from` has it, and the devices of `to`. A peer that is ahead is reached by `to` if there is no other way. */
export function preparing(from: Backend, to: Backend): Backend {
  return {
    ...delegate(from),
    ...forwarderOf(from, to),
    ...commandsOf(from, to),
    host: own => both(from.host(own), to.host(own)),
    peer: (lease, chosen) => {
      const plan = from.peer(lease, chosen);
      if (plan.problems.length === 0) return accepting(plan, to, lease);
      return { ...plan, provisional: accepting(to.peer(lease), from, lease).paths };
    },
  };
}

/** Everything as `to` has it, and `from` for the peers that have not followed. */
export function handingOver(from: Backend, to: Backend): Backend {
  const usedFor = (lease: Lease) => (isLeftBehind(from, to, lease) ? from : to);
  return {
    ...delegate(to),
    ...forwarderOf(to, from),
    host: own => both(to.host(own), from.host(own)),
    ...commandsOf(to, from),
    peer: (lease, chosen) => {
      const used = usedFor(lease);
      return accepting(used.peer(lease, chosen), used === to ? from : to, lease);
    },
    ways: lease => usedFor(lease).ways?.(lease) ?? {},
  };
}

/** A way to a peer that may send over the other backend: sooner or later than its lease says so here. */
function accepting(plan: PeerPlan, other: Backend, lease: Lease): PeerPlan {
  if (other.accept === undefined || plan.paths.length === 0) return plan;
  const isTaken = ({ link, subnet }: PeerPath) =>
    plan.paths.some(path => path.link === link && path.subnet.equals(subnet));
  const accepted = other.accept(lease).filter(path => !isTaken(path));
  return { ...plan, paths: [...plan.paths, ...accepted.map(path => ({ ...path, receivesOnly: true }))] };
}

/** Whether the holder of this lease is reached by `from` and not by `to`. */
export function isLeftBehind(from: Backend, to: Backend, lease: Lease): boolean {
  return to.peer(lease).problems.length > 0 && from.peer(lease).problems.length === 0;
}

/** A backend that does what this one does, also when that is an object of a class, whose methods a spread leaves out. */
function delegate(backend: Backend): Backend {
  const { type, overlayMtu, mtuParts, leftOut, reduced, needsRoutes = false } = backend;
  return {
    type,
    overlayMtu,
    mtuParts,
    leftOut,
    reduced,
    needsRoutes,
    attributes: () => backend.attributes(),
    host: own => backend.host(own),
    peer: (lease, chosen) => backend.peer(lease, chosen),
    ways: lease => backend.ways?.(lease) ?? {},
  };
}

/** Two that can be side by side have the same forwarder if both have one. */
const forwarderOf = (a: Backend, b: Backend) => defined({ forwarder: a.forwarder ?? b.forwarder });

/** One of the two may have some; what it has made stays in place with it. */
function commandsOf(...backends: readonly Backend[]): Pick<Backend, 'commands'> {
  const owner = backends.find(({ commands }) => commands !== undefined);
  return owner?.commands === undefined ? {} : { commands: own => owner.commands?.(own) };
}

function both(a: DesiredHost, b: DesiredHost): DesiredHost {
  // A link may serve both.
  const names = new Set(a.links.map(({ name }) => name));
  return {
    networks: [...a.networks, ...b.networks],
    links: [...a.links, ...b.links.filter(({ name }) => !names.has(name))],
    addresses: [...a.addresses, ...b.addresses.filter(({ link }) => !names.has(link))],
    sysctls: [...a.sysctls, ...b.sysctls.filter(({ link }) => !names.has(link))],
  };
}

/** Addresses print themselves as JSON. */
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** Devices of the backend; the others are the host's. */
export const ownLinks = ({ links }: DesiredHost) => links.filter(({ kind }) => kind !== 'existing');
