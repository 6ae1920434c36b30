/**
 * What the underlay of this host can carry of a network: which families, and with which MTU. The same for every
 * backend; they differ in the bytes that they add to a packet.
 */

import type { Problem } from '../base/errors.ts';
import { FAMILY_LABELS, type Family } from '../base/ip.ts';
import { LEAST_MTU } from '../base/mtu.ts';
import { familiesOf, mapFamilies, type PerFamily, perFamily, valuesOf } from '../base/per-family.ts';
import { CONFIG_KEYS } from '../subnet/config/config.ts';
import { type Backend, type BackendContext, type MtuPart, type Underlay } from './backend.ts';

/** Of a backend that puts nothing around a packet. */
export const NO_OVERHEAD = { ipv4: 0, ipv6: 0 } as const satisfies Record<Family, number>;

export interface UnderlayFit extends Pick<Backend, 'leftOut' | 'reduced'> {
  /** MTU of the packets between containers, of each family that is carried: at least one. */
  readonly mtu: PerFamily<number>;
  /** Everything that makes the network impossible on this host. */
  readonly problems: readonly Problem[];
}

/**
 * @param overhead bytes that the backend puts around a packet of each family
 * @param configured MTU of the underlay as the configuration has it, if it does
 */
export function fitUnderlay(
  { config, underlay }: Pick<BackendContext, 'config' | 'underlay'>,
  overhead: Readonly<Record<Family, number>>,
  configured?: number,
): UnderlayFit {
  const { link } = underlay;
  const outer = Math.min(configured ?? Infinity, link.mtu);
  // Packets of a configured size that the underlay does not carry would be lost.
  const isBoundByLink = configured === undefined || configured > link.mtu;
  const wanted = perFamily(family => config[family] && outer - overhead[family]);
  const fitting = mapFamilies(wanted, (mtu, family) => (mtu < LEAST_MTU[family] ? undefined : mtu));
  const misfits = familiesOf(wanted)
    .filter(family => fitting[family] === undefined)
    .map(family => ({
      path: isBoundByLink ? `MTU of ${link.name}` : 'Backend.MTU',
      value: isBoundByLink ? link.mtu : configured,
      message: `leaves ${wanted[family]} bytes for ${FAMILY_LABELS[family]} packets, and ${FAMILY_LABELS[family]} needs ${LEAST_MTU[family]}`,
    }));
  // An underlay that has lost room for IPv6 is no reason not to follow it with IPv4; a configuration is corrected.
  const isPartial = isBoundByLink && familiesOf(fitting).length > 0;
  const mtu = isPartial ? fitting : wanted;
  const problems = familiesOf(mtu).flatMap(family => addressProblems(family, underlay));
  return {
    mtu,
    problems: isPartial ? problems : [...problems, ...misfits],
    leftOut: isPartial ? misfits : [],
    reduced: reductions(link, configured),
  };
}

/**
 * How the MTU of the packets between containers comes about: that of the family with the least, as containers have one.
 * @param mtu of each family, as `fitUnderlay` gives it
 * @param encapsulation what the backend puts around a packet: `VXLAN`
 * @param configured as for `fitUnderlay`
 */
export function mtuPartsOf(
  { link }: Underlay,
  mtu: PerFamily<number>,
  encapsulation: string,
  configured?: number,
): readonly MtuPart[] {
  const isBoundByLink = configured === undefined || configured > link.mtu;
  const [what, outer] = isBoundByLink ? [link.name, link.mtu] : ['Backend.MTU', configured];
  const least = Math.min(...valuesOf(mtu));
  const [family = 'ipv4'] = familiesOf(mtu).filter(one => mtu[one] === least);
  const overhead = { what: `${encapsulation} over ${FAMILY_LABELS[family]}`, bytes: least - outer };
  return [{ what, bytes: outer }, ...(overhead.bytes === 0 ? [] : [overhead])];
}

function addressProblems(family: Family, { link, ip, publicIp }: Underlay): Problem[] {
  if (ip[family] !== undefined && publicIp[family] !== undefined) return [];
  const label = FAMILY_LABELS[family];
  return [
    {
      path: CONFIG_KEYS[family].network,
      message: `needs an ${label} address on ${link.name}, and there is none`,
      hint: `add one, choose another interface with --iface, or turn ${label} off in the configuration`,
    },
  ];
}

function reductions({ name, mtu }: Underlay['link'], configured: number | undefined): Problem[] {
  if (configured === undefined || configured <= mtu) return [];
  const message = `is more than ${name} can carry, which is ${mtu}`;
  return [{ path: 'Backend.MTU', value: configured, message }];
}
