/** What of a peer's paths is asked for the size that passes, and what is made of the answer. */
import { mapFamilies, type PerFamily, perFamily } from '../../base/per-family.ts';
import type { PeerPath } from '../../dataplane/desired.ts';
import type { PathTarget } from './path-mtus.ts';

/**
 * Nothing for paths that are not known: those that commands make.
 * @param mtu of the packets between containers
 */
export function pathTargets(paths: readonly PeerPath[], mtu: number): PerFamily<PathTarget> {
  return perFamily(family => {
    const path = paths.find(({ subnet }) => subnet.family === family);
    const isKnown = path?.entries.some(({ kind }) => kind === 'route' || kind === 'tunnel') === true;
    if (path === undefined || !isKnown) return undefined;
    // Without a tunnel no device of the peer has the base address of its subnet.
    const addresses = { base: path.subnet.ip, underlay: path.underlayIp };
    return isDirect(path)
      ? { to: path.underlayIp, isOverlay: false, mtu, ...addresses }
      : { to: path.subnet.ip, isOverlay: true, mtu, ...addresses };
  });
}

/** The same, where several ways are there: then every host has the base address of its subnet, whichever is used. */
export function overlayTargets(
  targets: PerFamily<PathTarget>,
  ways: PerFamily<unknown>,
): PerFamily<PathTarget> {
  return mapFamilies(targets, (target, family) =>
    ways[family] === undefined ? target : { ...target, to: target.base, isOverlay: true },
  );
}

/** Packets to the subnet leave as they are, to the peer's own address. */
const isDirect = ({ entries, subnet, underlayIp }: PeerPath): boolean =>
  entries.some(
    entry =>
      entry.kind === 'route' &&
      entry.destination.equals(subnet) &&
      entry.gateway?.equals(underlayIp) === true &&
      entry.onlink !== true,
  );

/** The path with routes that carry no larger packets. @param size undefined: as large as the link does */
export function withSize(path: PeerPath, size: number | undefined): PeerPath {
  if (size === undefined) return path;
  const entries = path.entries.map(entry => (entry.kind === 'route' ? { ...entry, mtu: size } : entry));
  return { ...path, entries };
}
