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
/** Milliseconds for an answer that must come, and until nobody is taken to answer. */
const PATIENCE = { answer: 30_000, silence: 1_500 };

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

/** What is answered: `web 192.0.2.2`; an errno when it is refused. @param from address of the namespace that is asked with */
export function askSource(netns: Netns, transport: Transport, to: string, port: number, from?: string) {
  return ask({ netns, to: Ip.parse(to), port, from, patience: PATIENCE.answer }, transport);
}

/** The same where nobody answers: `nothing`. */
export function askInVain(netns: Netns, transport: Transport, to: string, port: number, from?: string) {
  return ask({ netns, to: Ip.parse(to), port, from, patience: PATIENCE.silence }, transport);
}

interface Asking {
  readonly netns: Netns;
  readonly to: Ip;
  readonly port: number;
  readonly from: string | undefined;
  /** Milliseconds. */
  readonly patience: number;
}

const ask = (asking: Asking, transport: Transport) => (transport === 'tcp' ? askTcp(asking) : askUdp(asking));

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

async function askTcp({ netns, to, port, from, patience }: Asking): Promise<string> {
  const client = connectTcp(netns, to, port, from);
  client.setEncoding('utf8');
  client.setTimeout(patience, () => client.destroy(Object.assign(new Error('nothing'), { code: 'nothing' })));
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

async function askUdp({ netns, to, port, from, patience }: Asking): Promise<string> {
  const any = Ip.parse(to.family === 'ipv4' ? '0.0.0.0' : '::');
  const fd = netns.run(() => openUdpSocket(from === undefined ? any : Ip.parse(from), 0));
  const client = createSocket(to.family === 'ipv4' ? 'udp4' : 'udp6');
  try {
    client.bind({ fd });
    client.send('who', port, to.toString());
    const [answer] = await once(client, 'message', { signal: AbortSignal.timeout(patience) });
    return String(answer);
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return name === 'AbortError' ? 'nothing' : String(code);
  } finally {
    client.close();
  }
}
