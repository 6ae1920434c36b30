/**
 * One end of a TCP connection, for SteadyStream. `serve IP PORT` sends back what comes; `send IP PORT` sends a numbered block
 * of 32 KiB every ten milliseconds, and prints the number of each that came back as it was. Whatever ends the connection is
 * printed as `ended`, with the reason.
 */
import { connect, createServer, type Socket } from 'node:net';
import process from 'node:process';

const BLOCK = 32_768;
const INTERVAL_MS = 10;
/** Blocks on their way: a path that stalls is not filled. */
const MOST = 8;

// The end of the pipe is the end of the test.
process.stdin.on('end', () => process.exit(0)).resume();

const say = (text: string) => process.stdout.write(`${text}\n`);
const block = (number: number) => {
  const bytes = Buffer.alloc(BLOCK, number % 251);
  bytes.writeUInt32BE(number);
  return bytes;
};

/** The other end never ends it. */
function sayHowItEnds(socket: Socket): void {
  socket.on('error', ({ message }) => say(`ended ${message}`));
  socket.on('end', () => say('ended by the other end'));
}

const [role, ip, port] = process.argv.slice(2);
if (role === 'serve') {
  createServer(socket => {
    sayHowItEnds(socket);
    socket.pipe(socket);
  }).listen(Number(port), ip, () => say('listening'));
} else {
  const socket = connect({ host: ip, port: Number(port) });
  let sent = 0;
  let back = 0;
  let rest = Buffer.alloc(0);
  sayHowItEnds(socket);
  socket.on('data', bytes => {
    rest = Buffer.concat([rest, bytes]);
    for (; rest.length >= BLOCK; rest = rest.subarray(BLOCK)) {
      if (!rest.subarray(0, BLOCK).equals(block(++back))) say(`ended block ${back} came back changed`);
      say(`${back}`);
    }
  });
  setInterval(() => {
    if (sent - back < MOST) socket.write(block(++sent));
  }, INTERVAL_MS);
}
