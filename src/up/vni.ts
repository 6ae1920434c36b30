/**
 * The VNI of a new network. Two overlays of one host cannot have the same (flannel's default, 1, is that of Kubernetes
 * everywhere), so it is one that no device of this host has, and drawn, because those of further hosts are not known.
 */
import type { Link } from '../netlink/route/objects.ts';

/** Beyond flannel's default, and short enough for the names of devices of both families: `flannel-v6.9999`. */
const FIRST = 2;
const LAST = 9999;

/** @param links of this host. @param random in [0, 1). */
export function drawVni(links: readonly Pick<Link, 'name' | 'info'>[], random: () => number): number {
  const taken = new Set(
    links.flatMap(({ info }) => (info?.kind === 'vxlan' && info.id !== undefined ? [info.id] : [])),
  );
  const names = new Set(links.map(({ name }) => name));
  const isFree = (vni: number) =>
    !taken.has(vni) && !names.has(`flannel.${vni}`) && !names.has(`flannel-v6.${vni}`);
  let vni: number;
  do vni = FIRST + Math.floor(random() * (LAST - FIRST + 1));
  while (!isFree(vni));
  return vni;
}
