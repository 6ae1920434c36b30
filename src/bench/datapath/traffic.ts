/**
 * One end of test traffic, in a process of its own so that it can be pinned to a processor and put into a network namespace:
 *
 *     traffic.ts receive KIND IP SECONDS
 *     traffic.ts send    KIND IP SECONDS
 *
 *     stream   one TCP connection, as fast as the receiver takes it
 *     rr       one byte to and fro over one TCP connection, one at a time
 *     small    datagrams of 64 bytes, one way, as fast as they can be sent
 *     two-way  the same, and each that arrives is answered by another one
 *
 * The receiver prints `ready` as soon as a sender may begin. At the end it prints what it has received in how long as
 * one JSON object, so that only what arrived counts; the sender prints what it has sent.
 */
import { readFileSync, writeSync } from 'node:fs';
import { Ip } from '../../base/ip.ts';
import { BlockingSocket, type Transport } from '../../sys/blocking-socket.ts';

export const KINDS = ['stream', 'rr', 'small', 'two-way'] as const;
export type Traffic = (typeof KINDS)[number];

/** What the receiver counted. */
export interface Received {
  readonly bytes: number;
  /** All but `stream`: messages. */
  readonly messages: number;
  readonly seconds: number;
  /** Seconds that all processors worked meanwhile, for any process. */
  readonly busy: number;
}

/** What the sender counted. */
export type Sent = Pick<Received, 'bytes' | 'messages'>;

const PORT = 5001;
const TRANSPORTS: Readonly<Record<Traffic, Transport>> = {
  stream: 'tcp',
  rr: 'tcp',
  small: 'udp',
  'two-way': 'udp',
};
/** Bytes of one write: enough for the system call not to matter, few enough to stay in the processor's cache. */
const SIZES: Readonly<Record<Traffic, number>> = { stream: 128 << 10, rr: 1, small: 64, 'two-way': 64 };
/** Milliseconds without a byte after which the other end is taken for gone. */
const PATIENCE = 3000;
/** Milliseconds of silence after which the datagrams are over. */
const SILENCE = 300;

const isDatagrams = (kind: Traffic) => TRANSPORTS[kind] === 'udp';

function receive(kind: Traffic, ip: Ip): Received {
  using socket = BlockingSocket.bind(TRANSPORTS[kind], { ip, port: PORT }, PATIENCE);
  writeSync(1, 'ready\n');
  if (isDatagrams(kind)) return count(socket, kind);
  using connection = socket.accept();
  if (connection === undefined) throw new Error('the receiver did not connect');
  return count(connection, kind);
}

/** Counts until the sender is done. The time is that from the first to the last arrival. */
function count(socket: BlockingSocket, kind: Traffic): Received {
  const buffer = new Uint8Array(kind === 'stream' ? SIZES.stream : 64);
  const isAnswered = kind === 'rr' || kind === 'two-way';
  let [bytes, messages, first, last, busy] = [0, 0, 0, 0, 0];
  for (;;) {
    const isFirst = messages === 0;
    const size = isFirst && isDatagrams(kind) ? socket.receiveFirst(buffer) : socket.receive(buffer);
    if (size === undefined || size === 0) break;
    if (isAnswered) socket.send(buffer.subarray(0, size));
    // The clock is read once in a while: each reading costs a part of what a small packet does.
    if (messages++ % 64 === 0 || !isDatagrams(kind)) last = performance.now();
    if (isFirst) {
      first = last;
      busy = busySeconds();
      if (isDatagrams(kind)) socket.patience = SILENCE;
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

function send(kind: Traffic, ip: Ip, seconds: number): Sent {
  using socket = BlockingSocket.connect(TRANSPORTS[kind], { ip, port: PORT }, PATIENCE);
  const message = new Uint8Array(SIZES[kind]);
  const answer = new Uint8Array(SIZES[kind]);
  const end = performance.now() + seconds * 1000;
  let bytes = 0;
  for (let messages = 0; ; messages++) {
    if ((!isDatagrams(kind) || messages % 64 === 0) && performance.now() > end) return { bytes, messages };
    const sent = socket.send(message);
    if (sent === undefined && !isDatagrams(kind)) throw new Error('the receiver takes nothing');
    bytes += sent ?? 0;
    if (kind === 'rr' && socket.receive(answer) !== 1) throw new Error('the receiver does not answer');
    if (kind === 'two-way') socket.receiveNow(answer);
  }
}

if (import.meta.main) {
  const [role, kind, ip, seconds] = process.argv.slice(2) as [string, Traffic, string, string];
  const counted =
    role === 'receive' ? receive(kind, Ip.parse(ip)) : send(kind, Ip.parse(ip), Number(seconds));
  writeSync(1, `${JSON.stringify(counted)}\n`);
}
