/** What is reported of a link: the facts that the kernel has of it, and what is wanted in words. */
import { defined } from '../../base/defined.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { OwnLink } from '../desired-link.ts';
import type { LinkFacts } from '../report.ts';
import { kindOf } from './kinds.ts';

export const factsOf = ({ info, mtu, mac }: Link): LinkFacts =>
  defined({ ...(info?.kind === 'vxlan' && { vni: info.id, port: info.port, local: info.local }), mtu, mac });

/** `link flannel.88 vxlan id 88 address 02:... mtu 1450`. */
export function textOf(desired: OwnLink): string {
  const { name, kind, mac, mtu } = desired;
  const words = ['link', name, kind, kindOf(desired).text(desired)];
  if (mac !== undefined) words.push(`address ${mac}`);
  if (mtu !== undefined) words.push(`mtu ${mtu}`);
  return words.filter(word => word !== '').join(' ');
}
