/**
 * One end of test traffic, in a process of its own so that it can be pinned to a processor and put into a network namespace:
 *
 *     traffic.ts receive KIND IP SECONDS
 *     traffic.ts send    KIND IP SECONDS
 *
 *     stream   one TCP connection, as fast as the receiver takes it
 *     rr       one byte to and fro over one TCP connection, one at a time
 *     small    datagrams of 64 bytes, one way, as fast as they can be sent
 *
 * The receiver prints `ready` as soon as a sender may begin. At the end it prints what it has received in how long as
 * one JSON object, so that only what arrived counts.
 */
import { readFileSync, writeSync } from 'node:fs';
import { Ip } from '../../base/ip.ts';
import { BlockingSocket, type Transport } from '../../sys/blocking-socket.ts';

export type Traffic = 'stream' | 'rr' | 'small';

/** What the receiver counted. */
export interface Received {
  readonly bytes: number;
  /** Of `rr` and `small`: messages. */
  readonly messages: number;
  readonly seconds: number;
  /** Seconds that all processors worked meanwhile, for any process. */
  readonly busy: number;
}

const PORT = 5001;
const TRANSPORTS: Readonly<Record<Traffic, Transport>> = { stream: 'tcp', rr: 'tcp', small: 'udp' };
/** Bytes of one write: enough for the system call not to matter, few enough to stay in the processor's cache. */
const SIZES: Readonly<Record<Traffic, number>> = { stream: 128 << 10, rr: 1, small: 64 };
/** Milliseconds without a byte after which the other end is taken for gone. */
const PATIENCE = 3000;
/** Milliseconds of silence after which the datagrams are over. */
const SILENCE = 300;

function receive(kind: Traffic, ip: Ip): Received {
  using socket = BlockingSocket.bind(TRANSPORTS[kind], { ip, port: PORT }, PATIENCE);
  writeSync(1, 'ready\n');
  if (kind === 'small') return count(socket, kind);
  using connection = socket.accept();
  if (connection === undefined) throw new Error('the receiver did not connect');
  return count(connection, kind);
}

/** Counts until the sender is done. The time is that from the first to the last arrival. */
function count(socket: BlockingSocket, kind: Traffic): Received {
  const buffer = new Uint8Array(kind === 'stream' ? SIZES.stream : 64);
  let [bytes, messages, first, last, busy] = [0, 0, 0, 0, 0];
  for (;;) {
    const size = socket.receive(buffer);
    if (size === undefined || size === 0) break;
    if (kind === 'rr') socket.send(buffer.subarray(0, size));
    // The clock is read once in a while: each reading costs a part of what a small packet does.
    if (messages++ % 64 === 0 || kind !== 'small') last = performance.now();
    if (first === 0) {
      first = last;
      busy = busySeconds();
      if (kind === 'small') socket.patience = SILENCE;
    }
    bytes += size;
  }
  return { bytes, messages, seconds: (last - first) / 1000, busy: busySeconds() - busy };
}

/** Hundredths of seconds: USER_HZ, include/asm-generic/param.h. */
const TICKS_PER_SECOND = 100;

/** What the processors have worked since the machine was started: user, nice, system, irq and softirq of proc_stat(5). */
function busySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

function send(kind: Traffic, ip: Ip, seconds: number): void {
  using socket = BlockingSocket.connect(TRANSPORTS[kind], { ip, port: PORT }, PATIENCE);
  const message = new Uint8Array(SIZES[kind]);
  const end = performance.now() + seconds * 1000;
  for (let sent = 0; ; sent++) {
    if ((kind !== 'small' || sent % 64 === 0) && performance.now() > end) return;
    if (socket.send(message) === undefined && kind !== 'small') throw new Error('the receiver takes nothing');
    if (kind === 'rr' && socket.receive(message) !== 1) throw new Error('the receiver does not answer');
  }
}

if (import.meta.main) {
  const [role, kind, ip, seconds] = process.argv.slice(2) as [string, Traffic, string, string];
  if (role === 'receive') writeSync(1, `${JSON.stringify(receive(kind, Ip.parse(ip)))}\n`);
  else send(kind, Ip.parse(ip), Number(seconds));
}
