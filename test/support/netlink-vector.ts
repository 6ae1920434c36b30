/**
 * Vectors: netlink messages that other people's programs exchanged with a kernel, as text files a person can read.
 *
 *     setup: ip link add v0 type veth peer name v1
 *     command: ip link add flannel.88 type vxlan id 88 dev v0 dstport 4789 nolearning
 *     kernel: 6.18.44
 *     iproute2: 6.1.0
 *
 *     request RTM_NEWLINK 0x605
 *       00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
 *       0f 00 03 00 66 6c 61 6e 6e 65 6c 2e 38 38 00 00
 *       ...
 *     = {family=0 type=0 index=0 flags=0 change=0} {name=flannel.88 ...}
 *
 * The first line of hex is the fixed struct, each further one an attribute with its padding. Sequence number and port
 * are left away. After `=` stands what our decoder makes of it, which a person has looked at.
 */
import { formatHex, parseHex } from '../../src/base/bytes.ts';
import type { Message } from '../../src/netlink/message.ts';
import { NETFILTER_PROTOCOL } from '../../src/netlink/netfilter/protocol.ts';
import { messageName, type NetlinkProtocol } from '../../src/netlink/protocol.ts';
import { ROUTE_PROTOCOL } from '../../src/netlink/route/protocol.ts';

export interface VectorMessage {
  /** What the program sent, or what the kernel answered. */
  readonly direction: 'request' | 'reply';
  readonly message: Message;
  /** The line after `=`. */
  readonly decoded: string;
}

export interface Vector {
  /** Commands that made the namespace what the captured one needs, in order. */
  readonly setup: readonly string[];
  readonly command: string;
  /** Commands that ran while the captured one listened: what it heard is kept. */
  readonly meanwhile: readonly string[];
  readonly kernel: string;
  readonly iproute2: string;
  readonly messages: readonly VectorMessage[];
}

/** The protocol that a command speaks: `nft` and `conntrack` netfilter, `ip` and `bridge` rtnetlink. */
export function protocolOf({ command }: Pick<Vector, 'command'>): NetlinkProtocol {
  return /^(nft|conntrack) /.test(command) ? NETFILTER_PROTOCOL : ROUTE_PROTOCOL;
}

/** All that have a name are among them: netfilter has 256 for each of its 13 subsystems. */
const TYPES = Array.from({ length: 13 * 256 }, (_, type) => type);

/** By what the message is about. */
const STRUCT_SIZES: readonly (readonly [pattern: RegExp, size: number])[] = [
  [/^NF(T|NL)_MSG_|^IPCTNL_MSG_/, 4],
  [/LINK$/, 16],
  [/ADDR$/, 8],
  [/ROUTE$|NEIGH$|RULE$/, 12],
  [/NEXTHOP$/, 8],
  [/NETCONF$/, 4],
  [/QDISC$|TFILTER$/, 20],
];

/** Length of the fixed struct that a payload of this type begins with. */
export function structSize(protocol: NetlinkProtocol, type: number): number {
  const name = messageName(protocol, type);
  return STRUCT_SIZES.find(([pattern]) => pattern.test(name))?.[1] ?? fail(name);
}

export function formatVector({ setup, command, meanwhile, kernel, iproute2, messages }: Vector): string {
  const protocol = protocolOf({ command });
  return [
    ...setup.map(line => `setup: ${line}`),
    `command: ${command}`,
    ...meanwhile.map(line => `meanwhile: ${line}`),
    `kernel: ${kernel}`,
    `iproute2: ${iproute2}`,
    ...messages.flatMap(({ direction, message: { type, flags, payload }, decoded }) => [
      '',
      `${direction} ${messageName(protocol, type)} 0x${flags.toString(16)}`,
      ...attributeLines(payload, structSize(protocol, type)).map(line => `  ${line}`),
      `= ${decoded}`,
    ]),
    '',
  ].join('\n');
}

export function parseVector(text: string): Vector {
  const [head = '', ...blocks] = text.trimEnd().split('\n\n');
  const fields = head.split('\n').map(line => /^(\w+): (.*)$/.exec(line) ?? fail(line));
  const only = (name: string) => fields.find(([, key]) => key === name)?.[2] ?? fail(name);
  const all = (name: string) => fields.filter(([, key]) => key === name).map(([, , value = '']) => value);
  return {
    setup: all('setup'),
    meanwhile: all('meanwhile'),
    command: only('command'),
    kernel: only('kernel'),
    iproute2: only('iproute2'),
    messages: blocks.map(block => parseMessage(protocolOf({ command: only('command') }), block)),
  };
}

function parseMessage(protocol: NetlinkProtocol, block: string): VectorMessage {
  const [first = '', ...lines] = block.split('\n');
  const [, direction, name = '', flags] = /^(request|reply) (\w+) (0x[0-9a-f]+)$/.exec(first) ?? fail(first);
  const type = TYPES.find(one => messageName(protocol, one) === name) ?? fail(name);
  const hex = lines.filter(line => line.startsWith('  '));
  const decoded = lines.find(line => line.startsWith('= ')) ?? fail(block);
  return {
    direction: direction as 'request' | 'reply',
    message: { type, flags: Number(flags), sequence: 0, port: 0, payload: parseHex(hex.join('')) },
    decoded: decoded.slice(2),
  };
}

/** The struct, then each attribute of the top level. */
function attributeLines(payload: Uint8Array, size: number): string[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const lines = [formatHex(payload.subarray(0, size), ' ')];
  for (let start = size; start + 4 <= payload.length; ) {
    const length = Math.max(4, (view.getUint16(start, true) + 3) & ~3);
    lines.push(formatHex(payload.subarray(start, start + length), ' '));
    start += length;
  }
  return lines;
}

function fail(text: string): never {
  throw new Error(`no netlink vector: ${text}`);
}
