/**
 * Where the L2 networks are in the store:
 *
 *     <prefix>/networks/blue/config                  the Segment
 *     <prefix>/networks/blue/endpoints/10.9.1.2      a SegmentEndpoint
 *     <prefix>/networks/blue/members/HOSTID          a SegmentMember
 *     <prefix>/networks/blue/ranges/10.9.1.0-24      a SegmentRange
 *     <prefix>/vnis/4242                             the name of the network that has this VNI
 *
 * A thing has exactly one key: another spelling of an address is refused, or two containers could have it.
 */
import { posix } from 'node:path';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { isHostId } from '../publish/stored-json.ts';
import { isSegmentName } from './segment.ts';

export type SegmentKey =
  | { readonly kind: 'config'; readonly name: string }
  | { readonly kind: 'member'; readonly name: string; readonly hostId: string }
  | { readonly kind: 'endpoint'; readonly name: string; readonly ip: Ip }
  | { readonly kind: 'range'; readonly name: string; readonly block: Prefix };

/** Paths of one network's prefix. */
export class SegmentKeys {
  /** With a final slash. */
  readonly directory: string;
  /** With a final slash. */
  readonly vnis: string;

  constructor(prefix: string) {
    this.directory = posix.join(prefix, 'networks/');
    this.vnis = posix.join(prefix, 'vnis/');
  }

  /** Everything of one segment. */
  of(name: string): string {
    return `${this.directory}${name}/`;
  }

  config(name: string): string {
    return `${this.of(name)}config`;
  }

  member(name: string, hostId: string): string {
    return `${this.of(name)}members/${hostId}`;
  }

  endpoint(name: string, ip: Ip): string {
    return `${this.of(name)}endpoints/${ip}`;
  }

  range(name: string, block: Prefix): string {
    return `${this.of(name)}ranges/${formatRange(block)}`;
  }

  vni(vni: number): string {
    return `${this.vnis}${vni}`;
  }

  /** The VNI of a key below `vnis/`, NaN for one that is no number; undefined for all other keys. */
  vniBelow(path: string): number | undefined {
    if (!path.startsWith(this.vnis)) return undefined;
    const text = path.slice(this.vnis.length);
    return /^[1-9]\d{0,7}$/.test(text) ? Number(text) : Number.NaN;
  }

  /** The part below `networks/`; undefined for all other keys. */
  below(path: string): string | undefined {
    return path.startsWith(this.directory) ? path.slice(this.directory.length) : undefined;
  }
}

/** @param key below `networks/`: `blue/endpoints/10.9.1.2`; undefined when it is none of ours */
export function parseSegmentKey(key: string): SegmentKey | undefined {
  if (key.length > MOST_KEY) return undefined;
  const [name = '', folder, last, ...more] = key.split('/');
  if (!isSegmentName(name) || more.length > 0) return undefined;
  if (last === undefined) return folder === 'config' ? { kind: 'config', name } : undefined;
  switch (folder ?? '') {
    case 'members':
      return isHostId(last) ? { kind: 'member', name, hostId: last } : undefined;
    case 'endpoints': {
      const ip = Ip.tryParse(last);
      return ip?.toString() === last ? { kind: 'endpoint', name, ip } : undefined;
    }
    case 'ranges': {
      const block = parseRange(last);
      return block && { kind: 'range', name, block };
    }
    default:
      return undefined;
  }
}

/** The VNI of the last part of a key below `vnis/`. */
export function parseVniKey(key: string): number | undefined {
  const vni = /^[1-9]\d{0,7}$/.test(key) ? Number(key) : 0;
  return isVni(vni) ? vni : undefined;
}

/** RFC 7348: 24 bits; 0 is left out, as flannel does. */
export function isVni(vni: number): boolean {
  return Number.isInteger(vni) && vni >= 1 && vni <= MOST_VNI;
}

export const MOST_VNI = 2 ** 24 - 1;

/** `10.9.1.0-24`: a slash would make two parts of it. */
export function formatRange(block: Prefix): string {
  return `${block.ip}-${block.length}`;
}

export function parseRange(text: string): Prefix | undefined {
  const block = Prefix.tryParse(text.replace('-', '/'));
  return block !== undefined && formatRange(block) === text ? block : undefined;
}

/** Characters. */
const MOST_KEY = 256;
