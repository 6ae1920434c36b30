/**
 * One end of a conversation of datagrams, for SteadyTalk. `answer PORT` sends back what comes; `ask IP PORT` sends a numbered
 * datagram every millisecond, and prints the number of each that was answered, and how many were sent so far.
 */
import { createSocket } from 'node:dgram';
import process from 'node:process';

const [role, ...rest] = process.argv.slice(2);
const socket = createSocket('udp4');

if (role === 'answer') {
  socket.on('message', (message, { port, address }) => socket.send(message, port, address));
  socket.bind(Number(rest[0]), () => process.stdout.write('ready\n'));
} else {
  const [ip = '', port = ''] = rest;
  let sent = 0;
  socket.on('message', message => {
    process.stdout.write(`${message.readUInt32BE(0)} ${sent}\n`);
  });
  setInterval(() => {
    const message = Buffer.alloc(64);
    message.writeUInt32BE(++sent, 0);
    socket.send(message, Number(port), ip);
  }, 1);
}
