/**
 * A hostile client, a process of its own: attacks a store on loopback for some seconds, and connects again when it is
 * thrown out, a hundred times a second at most.
 *
 * Arguments: name of the attack, port, seconds. Output: the number of connections made.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ATTACKS, type Attack } from './attacks.ts';

/** Milliseconds between two connections in the same place. */
const RECONNECT_MS = 10;
/** Repetitions that are sent without waiting for anything; then other connections have their turn. */
const BURST = 20;

async function attack(which: Attack, port: number, seconds: number): Promise<number> {
  const stop = new AbortController();
  let connections = 0;
  const keepConnected = async () => {
    while (!stop.signal.aborted) {
      connections++;
      await connection(which, port, stop.signal);
      await delay(RECONNECT_MS);
    }
  };
  setTimeout(() => stop.abort(), seconds * 1000);
  await Promise.all(Array.from({ length: which.connections }, keepConnected));
  return connections;
}

/** Resolves when the server, or the end of the attack, has ended it. */
function connection(which: Attack, port: number, stop: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const end = () => socket.destroy();
    stop.addEventListener('abort', end, { once: true });
    socket.on('error', end);
    socket.once('close', () => {
      stop.removeEventListener('abort', end);
      resolve();
    });
    if (which.neverReads !== true) socket.resume();
    socket.once('connect', () => {
      socket.write(which.opening);
      let turn = 0;
      const go = () => {
        for (let sent = 0; sent < BURST && !socket.destroyed; sent++) {
          const bytes = which.repeat(turn++);
          if (bytes === undefined) return;
          if (!socket.write(bytes)) {
            socket.once('drain', () => setImmediate(go));
            return;
          }
        }
        if (!socket.destroyed) setImmediate(go);
      };
      go();
    });
  });
}

if (import.meta.main) {
  const [name, port, seconds] = process.argv.slice(2);
  const which = ATTACKS.find(one => one.name === name);
  if (which === undefined) throw new TypeError(`unknown attack ${name}`);
  process.stdout.write(`${await attack(which, Number(port), Number(seconds))}\n`, () => process.exit());
}
