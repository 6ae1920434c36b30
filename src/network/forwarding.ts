/** Whether the kernel forwards packets that are not for this host itself: settings of the host, which the agent does not change. */

import { FAMILY_LABELS, type Family } from '../base/ip.ts';
import type { OwnedWarning } from './reports.ts';

/** Which sysctl makes a host forward, below /proc/sys. */
const FORWARDING = {
  ipv4: 'net/ipv4/ip_forward',
  ipv6: 'net/ipv6/conf/all/forwarding',
} as const satisfies Record<Family, string>;

export interface ForwardingCircumstances {
  /** Those in use. */
  readonly families: readonly Family[];
  /** Names of the underlay link and of the tunnel devices. */
  readonly links: readonly string[];
  /** Name of the underlay link, when some peers are reached over it and others through a tunnel. */
  readonly mixed?: string;
  /** Whether the agent masquerades. */
  readonly masquerade: boolean;
  /** Name of the underlay link, when its IPv6 address has an end, which who gave it moves again and again. */
  readonly expiring?: string;
}

/** @param read the value of a kernel parameter (src/sys/sysctl.ts) */
export function forwardingWarnings(
  read: (path: string) => string | undefined,
  { families, links, mixed, masquerade, expiring }: ForwardingCircumstances,
): OwnedWarning[] {
  const off = families.filter(family => read(FORWARDING[family]) === '0').map(forwardingOff);
  if (expiring !== undefined && ignoresRouters(read, expiring)) off.push(routersIgnored(expiring));
  if (mixed !== undefined && families.includes('ipv4') && isStrict(read, mixed)) off.push(oneWayOnly(mixed));
  if (masquerade || !families.includes('ipv4')) return off;
  const strict = links.filter(link => isStrict(read, link));
  return strict.length === 0 ? off : [...off, strictFilter(strict)];
}

/** The larger one of two values is in force (Documentation/networking/ip-sysctl.rst): 0 is off, 1 strict, 2 loose. */
function isStrict(read: (path: string) => string | undefined, link: string): boolean {
  const values = ['all', link].map(name => Number(read(`net/ipv4/conf/${name}/rp_filter`) ?? 0));
  return Math.max(...values) === 1;
}

/** A link that forwards ignores routers, unless accept_ra is 2 (Documentation/networking/ip-sysctl.rst). */
function ignoresRouters(read: (path: string) => string | undefined, link: string): boolean {
  const conf = `net/ipv6/conf/${link}`;
  return read(`${conf}/accept_ra`) === '1' && Number(read(`${conf}/forwarding`) ?? 0) > 0;
}

function routersIgnored(link: string): OwnedWarning {
  return {
    id: 'accept_ra',
    code: 'ROUTERS_IGNORED',
    severity: 'warning',
    title: 'this host will lose its IPv6 address',
    text: `the address of ${link} expires, and the kernel ignores the router that renews it, because this host forwards`,
    hint: `sysctl -w net.ipv6.conf.${link}.accept_ra=2, or give ${link} an address that does not expire`,
  };
}

function forwardingOff(family: Family): OwnedWarning {
  return {
    id: family,
    code: 'FORWARDING_OFF',
    severity: 'error',
    title: `this host does not forward ${FAMILY_LABELS[family]} packets`,
    text: 'containers of this host cannot be reached by others, nor reach them',
    hint: `sysctl -w ${FORWARDING[family].replaceAll('/', '.')}=1; dockerd does it when it starts`,
  };
}

function oneWayOnly(link: string): OwnedWarning {
  return {
    id: 'rp_filter underlay',
    code: 'STRICT_RP_FILTER',
    severity: 'info',
    title: 'a peer that sends directly is not heard while this host reaches it through the tunnel',
    text: `rp_filter is strict on ${link}: where the two hosts do not agree that they are on one link, their containers lose every packet`,
    hint: `sysctl -w net.ipv4.conf.${link}.rp_filter=2`,
  };
}

function strictFilter(links: readonly string[]): OwnedWarning {
  return {
    id: 'rp_filter',
    code: 'STRICT_RP_FILTER',
    severity: 'info',
    title: 'a process bound to the address of the underlay does not reach containers of other hosts',
    text: `the kernel drops the answers: rp_filter is strict on ${links.join(' and ')}, and nothing masquerades; everything else works`,
    hint: 'start the agents with --ip-masq, or set net.ipv4.conf.all.rp_filter=2 on all hosts',
  };
}
