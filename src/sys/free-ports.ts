/**
 * Free TCP ports of the loopback interface, for servers that get their port as an option and may be restarted on it.
 *
 * They are taken from below the range out of which the kernel gives ports to outgoing connections and to those who ask
 * for any: a port of that range is free one moment and used by a connection the next (ip(7), ip_local_port_range).
 *
 * A server listens on its port later, perhaps seconds later. Until this process ends a unix socket in the abstract
 * namespace (unix(7)) keeps the port from others who choose theirs here.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { isCode } from '../base/errors.ts';

/** Ports below belong to services that people know, and `fetch` refuses some: 10080 is the last (WHATWG Fetch, port blocking). */
const FIRST = 10_081;
/** The default start of the kernel's own range. */
const DEFAULT_END = 32_768;
/** How many ports may be in use before we let the kernel choose. */
const ATTEMPTS = 100;

/** Ports that were free a moment ago; no call returns one of them again, in any process, while this one lives. */
export async function freePorts(count: number): Promise<number[]> {
  const end = endOfRange();
  const servers: Server[] = [];
  try {
    for (let index = 0; index < count; index++) servers.push(await listenAnywhere(end));
    return servers.map(portOf);
  } finally {
    for (const server of servers) server.close();
  }
}

async function listenAnywhere(end: number): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    const isLast = end <= FIRST || attempt === ATTEMPTS;
    const port = isLast ? 0 : randomInt(FIRST, end);
    try {
      if (!isLast) await reserve(port);
      const server = createServer().listen(port, '127.0.0.1');
      await once(server, 'listening');
      return server;
    } catch (error) {
      if (isLast || !isCode(error, 'EADDRINUSE')) throw error;
    }
  }
}

/** @throws EADDRINUSE when another has the port reserved */
async function reserve(port: number): Promise<void> {
  const reservation = createServer().listen(`\0tulle-port-${port}`);
  await once(reservation, 'listening');
  // It ends with the process, and does not keep it from ending.
  reservation.unref();
}

function endOfRange(): number {
  try {
    const [first] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/);
    return Number(first) || DEFAULT_END;
  } catch {
    return DEFAULT_END;
  }
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not a TCP server');
  return address.port;
}
