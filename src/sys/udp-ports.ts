/** UDP ports that sockets of this network namespace are bound to: /proc/net/udp and udp6 (proc(5)). */
import { readFileSync } from 'node:fs';
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { isCode } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import type { Netns } from './netns.ts';

export interface BoundPort {
  /** Unspecified for any address of its family; that of IPv6 may stand for both. */
  readonly address: Ip;
  readonly port: number;
}

/** Of tunnels too: the kernel binds a socket for them. */
export function boundUdpPorts(netns: Netns): BoundPort[] {
  return netns.run(() => [...portsIn('/proc/thread-self/net/udp'), ...portsIn('/proc/thread-self/net/udp6')]);
}

function portsIn(path: string): BoundPort[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    // A kernel without IPv6.
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
  return text.split('\n').slice(1).flatMap(parseLine);
}

/** `  sl  local_address ...`: address and port in hexadecimal digits, the address as words of the host. */
function parseLine(line: string): BoundPort[] {
  const [, digits, port] = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) /.exec(line) ?? [];
  if (digits === undefined || port === undefined) return [];
  const words = digits.match(/.{8}/g) ?? [];
  const bytes = words.flatMap(word => {
    const inOrder = [...Buffer.from(word, 'hex')];
    return HOST_IS_LITTLE ? inOrder.reverse() : inOrder;
  });
  return [{ address: Ip.fromBytes(Uint8Array.from(bytes)), port: Number.parseInt(port, 16) }];
}
