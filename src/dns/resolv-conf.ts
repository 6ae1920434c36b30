/** The servers that this host asks itself: resolv.conf(5), as it is now. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { isCode } from '../base/errors.ts';
import { DNS_PORT } from './constants.ts';

export interface NameServer {
  /** An IP address; one of a link's own scope with the name of the link behind `%`. */
  readonly address: string;
  readonly port: number;
}

const RESOLV_CONF = '/etc/resolv.conf';
/** MAXNS of resolv.conf(5). */
const MOST_SERVERS = 3;
/** Milliseconds after which the file is looked at again. */
const LOOK_AGAIN = 2000;
/** Bytes; what is longer is no such file. */
const MOST_BYTES = 1 << 20;

/** @returns what the lines `nameserver ADDRESS` name; all else is for programs that complete names */
export function parseResolvConf(text: string): readonly NameServer[] {
  const servers: NameServer[] = [];
  for (const line of text.split('\n')) {
    const [word, address = ''] = line.trim().split(/\s+/);
    const isServer = word === 'nameserver' && isIP(address) !== 0;
    if (isServer && servers.length < MOST_SERVERS) servers.push({ address, port: DNS_PORT });
  }
  return servers;
}

export class ResolvConf {
  readonly #path: string;
  readonly #clock: Clock;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #version = '';
  #servers: readonly NameServer[] = [];

  constructor(clock: Clock, path = RESOLV_CONF) {
    this.#clock = clock;
    this.#path = path;
  }

  /** As the file is, or was two seconds ago; none where there is no file. */
  get servers(): readonly NameServer[] {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt >= LOOK_AGAIN) {
      this.#lookedAt = now;
      this.#look();
    }
    return this.#servers;
  }

  #look(): void {
    try {
      // A link to another file is followed; what replaces it has another inode.
      const { mtimeMs, ino, size } = statSync(this.#path);
      const version = `${ino} ${mtimeMs} ${size}`;
      if (version === this.#version) return;
      this.#servers = size > MOST_BYTES ? [] : parseResolvConf(readFileSync(this.#path, 'utf8'));
      this.#version = version;
    } catch (error) {
      // Passing trouble of this process or its disk: the servers are those of before.
      if (isCode(error, 'EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'ESTALE')) return;
      if (!isCode(error, 'ENOENT', 'EACCES', 'ENOTDIR', 'EISDIR', 'ELOOP')) throw error;
      this.#servers = [];
      this.#version = '';
    }
  }
}
