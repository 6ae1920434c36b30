/**
 * The two ends of a conversation, each a process of its own in a container's namespace:
 *
 *     talker.ts echo udp|tcp PORT                          answers whatever comes with the same
 *     talker.ts talk udp|tcp PORT FROM ADDRESS INTERVAL    says a number every INTERVAL ms, from the port FROM (0: any) to
 *                                                          ADDRESS and PORT
 *
 * Each number that is said is printed as `+17` and when that is (CLOCK_MONOTONIC, in nanoseconds), each one that is answered as
 * `-17`, the end of a connection as `!`.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import process from 'node:process';
import { Ip } from '../../src/base/ip.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';

const [role = '', protocol = '', port = '', from = '', address = '', interval = ''] = process.argv.slice(2);
/** Bytes of a message; the first four are the number. */
const SIZE = 256;

const print = (line: string) => void process.stdout.write(`${line}\n`);
// The end of a pipe is the end of the test, which one that answers does not notice by what it prints.
process.stdout.on('error', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();

function echoUdp(): void {
  const socket = createSocket('udp4');
  socket.on('message', (message, { port: to, address: sender }) =>
    // What cannot be sent is lost, as on a network.
    socket.send(message, to, sender, () => undefined),
  );
  bindWithRoom(socket, Number(port), () => print('ready'));
}

/** An end that gets no processor for a while loses nothing: the kernel's own buffer has room for 0.3 seconds of messages. */
function bindWithRoom(socket: DatagramSocket, at: number, then: () => void): void {
  socket.bind({ fd: openUdpSocket(Ip.parse('0.0.0.0'), at) }, then);
}

function echoTcp(): void {
  const server = createServer(connection => {
    connection.setNoDelay(true);
    connection.pipe(connection);
    connection.on('error', () => undefined);
  });
  server.listen(Number(port), () => print('ready'));
}

function talkUdp(): void {
  const socket = createSocket('udp4');
  socket.on('message', message => print(`-${message.readUInt32BE(0)}`));
  socket.on('error', () => undefined);
  bindWithRoom(socket, Number(from), () => {
    say(message => socket.send(message, Number(port), address, () => undefined));
  });
}

function talkTcp(): void {
  const connection = connect({ port: Number(port), host: address, localPort: Number(from), noDelay: true });
  let rest = Buffer.alloc(0);
  connection.on('data', data => {
    rest = Buffer.concat([rest, data]);
    while (rest.length >= SIZE) {
      print(`-${rest.readUInt32BE(0)}`);
      rest = rest.subarray(SIZE);
    }
  });
  connection.on('error', () => undefined);
  connection.on('close', () => {
    print('!');
    process.exit(0);
  });
  connection.on('connect', () => say(message => void connection.write(message)));
}

function say(send: (message: Buffer) => void): void {
  let number = 0;
  setInterval(() => {
    const message = Buffer.alloc(SIZE);
    message.writeUInt32BE(++number);
    print(`+${number} ${process.hrtime.bigint()}`);
    send(message);
  }, Number(interval));
}

const roles: Record<string, () => void> = {
  'echo udp': echoUdp,
  'echo tcp': echoTcp,
  'talk udp': talkUdp,
  'talk tcp': talkTcp,
};
roles[`${role} ${protocol}`]?.();
