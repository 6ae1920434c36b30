/** Address families between the kernel's numbers and ours. */
import { ADDRESS_BITS, type Family, type Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from './constants.ts';

export function familyNumber(family: Family | undefined): number {
  if (family === undefined) return AF_UNSPEC;
  return family === 'ipv4' ? AF_INET : AF_INET6;
}

/** undefined for a family that carries no IP addresses. */
export function familyOf(number: number): Family | undefined {
  if (number === AF_INET) return 'ipv4';
  return number === AF_INET6 ? 'ipv6' : undefined;
}

/** A destination or source: its length is in the struct, its address in an attribute that is absent for /0. */
export function prefixOf(ip: Ip | undefined, length: number): Prefix | undefined {
  return ip === undefined || length > ADDRESS_BITS[ip.family] ? undefined : Prefix.of(ip, length);
}
