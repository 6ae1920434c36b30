/**
 * Two backends side by side, while a network goes over from one to the other and every host does so in its own time:
 *
 *     preparing    the devices of the new one are made beside those of the old one, which alone is in use. What the
 *                  kernel refuses is known before a peer relies on it.
 *     handing over peers learn of the new one. Each is reached over what it says of itself: by the new device as
 *                  soon as it has one, until then by the old one. Both devices receive.
 *
 * So no packet is lost, as long as the devices have different names: VXLAN devices of different VNIs do.
 */
import { defined } from '../base/defined.ts';
import type { DesiredHost } from '../dataplane/desired.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { Backend } from './backend.ts';

/** Whether the two differ, and can be there at the same time: no device of one has the name of one of the other. */
export function canBeSideBySide(from: Backend, to: Backend, own: Subnet): boolean {
  const before = from.host(own);
  const names = new Set(ownLinks(before).map(({ name }) => name));
  const after = ownLinks(to.host(own));
  const isAlike = from.type === to.type && names.size === 0 && after.length === 0;
  if (before.links.length === 0 || isAlike) return false;
  return after.every(({ name }) => !names.has(name));
}

/** Everything as `from` has it, and the devices of `to`. */
export function preparing(from: Backend, to: Backend): Backend {
  return {
    ...delegate(from),
    ...forwarderOf(from, to),
    ...commandsOf(from, to),
    host: own => both(from.host(own), to.host(own)),
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
    peer: (lease, chosen) => usedFor(lease).peer(lease, chosen),
    ways: lease => usedFor(lease).ways?.(lease) ?? {},
  };
}

/** Whether the holder of this lease is reached by `from` and not by `to`. */
export function isLeftBehind(from: Backend, to: Backend, lease: Lease): boolean {
  return to.peer(lease).problems.length > 0 && from.peer(lease).problems.length === 0;
}

/** A backend that does what this one does, also when that is an object of a class, whose methods a spread leaves out. */
function delegate(backend: Backend): Backend {
  const { type, overlayMtu, leftOut, reduced, needsRoutes = false } = backend;
  return {
    type,
    overlayMtu,
    leftOut,
    reduced,
    needsRoutes,
    attributes: () => backend.attributes(),
    host: own => backend.host(own),
    peer: (lease, chosen) => backend.peer(lease, chosen),
    ways: lease => backend.ways?.(lease) ?? {},
  };
}

/** Only one of two that can be side by side has a forwarder: both would have the same device. */
const forwarderOf = (a: Backend, b: Backend) => defined({ forwarder: a.forwarder ?? b.forwarder });

/** One of the two may have some; what it has made stays in place with it. */
function commandsOf(...backends: readonly Backend[]): Pick<Backend, 'commands'> {
  const owner = backends.find(({ commands }) => commands !== undefined);
  return owner?.commands === undefined ? {} : { commands: own => owner.commands?.(own) };
}

function both(a: DesiredHost, b: DesiredHost): DesiredHost {
  return {
    networks: [...a.networks, ...b.networks],
    // A link of the host may serve both.
    links: [...a.links, ...b.links.filter(({ name }) => !a.links.some(link => link.name === name))],
    addresses: [...a.addresses, ...b.addresses],
    sysctls: [...a.sysctls, ...b.sysctls],
  };
}

/** Devices of the backend; the others are the host's. */
export const ownLinks = ({ links }: DesiredHost) => links.filter(({ kind }) => kind !== 'existing');
