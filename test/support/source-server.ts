/** Servers in namespaces that answer with the address a request came from, and clients that ask them. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { SysError } from '../../src/sys/errors.ts';
import { bind, connect, SOCK_NONBLOCK, socket } from '../../src/sys/libc.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { SOCKET_FAMILIES, socketAddress } from '../../src/sys/socket-address.ts';
import { bindTcpSocket } from '../../src/sys/tcp-socket.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';

export type Transport = 'tcp' | 'udp';

/** include/linux/net.h and include/uapi/asm-generic/errno.h. */
const SOCK_STREAM = 1;
const EINPROGRESS = 115;
/** Milliseconds until nobody answers. */
const PATIENCE = 1500;

/** Answers `NAME ADDRESS`, by TCP and by UDP, until the test ends. */
export async function serveSources(t: TestContext, netns: Netns, name: string, at: Ip, port: number) {
  const server = createServer(client => {
    client.on('error', () => undefined);
    client.end(`${name} ${client.remoteAddress}`);
  });
  server.listen({ fd: netns.run(() => bindTcpSocket(at, port, 1400)) });
  t.after(() => server.close());
  await once(server, 'listening');
  const datagrams = createSocket(at.family === 'ipv4' ? 'udp4' : 'udp6');
  datagrams.on('message', (_, from) => datagrams.send(`${name} ${from.address}`, from.port, from.address));
  // A socket that is bound already listens at once.
  datagrams.bind({ fd: netns.run(() => openUdpSocket(at, port)) });
  t.after(() => datagrams.close());
}

/** What is answered: `web 192.0.2.2`; an errno when it is refused, `nothing` when nobody answers. */
export function askSource(netns: Netns, transport: Transport, to: string, port: number, from?: string) {
  return transport === 'tcp'
    ? askTcp(netns, Ip.parse(to), port, from)
    : askUdp(netns, Ip.parse(to), port, from);
}

/** Begins a connection from a namespace. @param from address of it that is asked with */
export function connectTcp(netns: Netns, to: Ip, port: number, from?: string): Socket {
  const fd = netns.run(() => {
    const opened = socket(SOCKET_FAMILIES[to.family], SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (from !== undefined) bind(opened, socketAddress(Ip.parse(from), 0));
    try {
      connect(opened, socketAddress(to, port));
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== EINPROGRESS) throw error;
    }
    return opened;
  });
  return new Socket({ fd, readable: true, writable: true });
}

async function askTcp(netns: Netns, to: Ip, port: number, from?: string): Promise<string> {
  const client = connectTcp(netns, to, port, from);
  client.setEncoding('utf8');
  client.setTimeout(PATIENCE, () => client.destroy(Object.assign(new Error('nothing'), { code: 'nothing' })));
  try {
    const chunks: string[] = [];
    for await (const chunk of client) chunks.push(String(chunk));
    return chunks.join('');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    client.destroy();
  }
}

async function askUdp(netns: Netns, to: Ip, port: number, from?: string): Promise<string> {
  const any = Ip.parse(to.family === 'ipv4' ? '0.0.0.0' : '::');
  const fd = netns.run(() => openUdpSocket(from === undefined ? any : Ip.parse(from), 0));
  const client = createSocket(to.family === 'ipv4' ? 'udp4' : 'udp6');
  try {
    client.bind({ fd });
    client.send('who', port, to.toString());
    const [answer] = await once(client, 'message', { signal: AbortSignal.timeout(PATIENCE) });
    return String(answer);
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return name === 'AbortError' ? 'nothing' : String(code);
  } finally {
    client.close();
  }
}
