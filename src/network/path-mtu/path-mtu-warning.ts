/** What people are told of paths that take less than they should. */
import type { Backend, Underlay } from '../../backend/backend.ts';
import { enumerate } from '../../base/enumerate.ts';
import type { DesiredHost } from '../../dataplane/desired.ts';
import type { OwnedWarning } from '../reports.ts';
import type { SmallPath } from './path-mtus.ts';

export interface PathCircumstances {
  readonly backend: Pick<Backend, 'type' | 'overlayMtu'>;
  readonly underlay: Pick<Underlay, 'link'>;
  readonly host: Pick<DesiredHost, 'links'>;
}

/** Backends whose configuration has an MTU. */
const CONFIGURABLE = ['vxlan', 'auto'];

/** One for each size that passes. */
export function pathMtuWarnings(
  small: readonly SmallPath[],
  circumstances: PathCircumstances,
): OwnedWarning[] {
  return Array.from(
    Map.groupBy(small, ({ size }) => size),
    ([size, paths]) => {
      const [{ mtu } = { mtu: size }] = paths;
      return {
        id: `${size}`,
        code: 'PATH_MTU_BLACK_HOLE',
        severity: 'warning' as const,
        title: 'large packets are lost on the way to some peers, without an error',
        text:
          `packets of up to ${size} bytes pass, and of ${size + 1} to ${mtu} bytes not, to or from ` +
          `${enumerate(paths.map(({ key }) => key))}; the routes to them carry ${size} bytes meanwhile`,
        hint: remedy(size, circumstances),
      };
    },
  );
}

function remedy(size: number, { backend, underlay: { link }, host }: PathCircumstances): string {
  const outer = size + link.mtu - backend.overlayMtu;
  const lower = CONFIGURABLE.includes(backend.type)
    ? `set Backend.MTU to ${outer} with \`tulle config set\``
    : `lower the MTU of ${link.name} to ${outer} on every host`;
  const tunnel = host.links.find(({ kind }) => kind === 'vxlan');
  const nat =
    tunnel === undefined
      ? ''
      : `; behind NAT with a smaller link, fragments with a wrong checksum are lost until ` +
        `\`ethtool -K ${tunnel.name} tx-checksum-ip-generic off\` on both hosts`;
  return `raise the MTU of the links between the hosts to that of ${link.name}, ${link.mtu}, or ${lower}${nat}`;
}
