/**
 * Two backends side by side, while a network goes over from one to the other and every host does so in its own time:
 *
 *     preparing    the devices of the new one are made beside those of the old one, which alone is in use. What the
 *                  kernel refuses is known before anybody relies on it.
 *     handing over peers learn of the new one. Each is reached over what it says of itself: by the new device as
 *                  soon as it has one, until then by the old one. Both devices receive.
 *
 * So no packet is lost, as long as the devices have different names: VXLAN devices of different VNIs do.
 */
import type { DesiredHost } from '../dataplane/desired.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { Backend } from './backend.ts';

/** Whether the two can be there at the same time. */
export function canBeSideBySide(from: Backend, to: Backend, own: Subnet): boolean {
  const names = namesOf(from.host(own));
  const isApart = to.host(own).links.every(({ name }) => !names.has(name));
  return names.size > 0 && isApart;
}

/** Everything as `from` has it, and the devices of `to`. */
export function preparing(from: Backend, to: Backend): Backend {
  return { ...delegate(from), host: own => both(from.host(own), to.host(own)) };
}

/** Everything as `to` has it, and `from` for the peers that have not followed. */
export function handingOver(from: Backend, to: Backend): Backend {
  return {
    ...delegate(to),
    host: own => both(to.host(own), from.host(own)),
    peer: lease => (isLeftBehind(from, to, lease) ? from.peer(lease) : to.peer(lease)),
  };
}

/** Whether the holder of this lease is reached by `from` and not by `to`. */
export function isLeftBehind(from: Backend, to: Backend, lease: Lease): boolean {
  return to.peer(lease).problems.length > 0 && from.peer(lease).problems.length === 0;
}

/** A backend that does what this one does, also when that is an object of a class, whose methods a spread leaves out. */
function delegate(backend: Backend): Backend {
  const { type, overlayMtu, leftOut, reduced } = backend;
  return {
    type,
    overlayMtu,
    leftOut,
    reduced,
    attributes: () => backend.attributes(),
    host: own => backend.host(own),
    peer: lease => backend.peer(lease),
  };
}

function both(a: DesiredHost, b: DesiredHost): DesiredHost {
  return {
    networks: [...a.networks, ...b.networks],
    links: [...a.links, ...b.links],
    addresses: [...a.addresses, ...b.addresses],
    sysctls: [...a.sysctls, ...b.sysctls],
  };
}

const namesOf = ({ links }: DesiredHost) => new Set(links.map(({ name }) => name));
