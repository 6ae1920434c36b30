/**
 * Where names are in the store:
 *
 *     <prefix>/names/blue/10.9.1.2        how this address of the network blue is called
 *     <prefix>/names/default/10.5.34.2    the same on the overlay
 *
 * An address has exactly one key on a network: another spelling of it is refused.
 */
import { posix } from 'node:path';
import { Ip } from '../../base/ip.ts';
import { isNetworkOfNames } from './names.ts';

export interface NameKey {
  readonly network: string;
  readonly ip: Ip;
}

/** Paths of one prefix. */
export class NameKeys {
  /** With a final slash. */
  readonly directory: string;

  constructor(prefix: string) {
    this.directory = posix.join(prefix, 'names/');
  }

  of({ network, ip }: NameKey): string {
    return `${this.directory}${network}/${ip}`;
  }

  /** The part below `names/`; undefined for all other keys. */
  below(path: string): string | undefined {
    return path.startsWith(this.directory) ? path.slice(this.directory.length) : undefined;
  }
}

/** @param key below `names/`: `blue/10.9.1.2`; undefined when it is none of ours */
export function parseNameKey(key: string): NameKey | undefined {
  if (key.length > MOST_KEY) return undefined;
  const [network = '', last = '', ...more] = key.split('/');
  if (!isNetworkOfNames(network) || more.length > 0) return undefined;
  const ip = Ip.tryParse(last);
  return ip?.toString() === last ? { network, ip } : undefined;
}

/** Characters. */
const MOST_KEY = 128;
