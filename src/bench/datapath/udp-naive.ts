/**
 * What flannel's udp backend does (pkg/backend/udp/proxy_amd64.c), written by us in the same language as our forwarder:
 * plain packets from a TUN device, one read and one send for each, and both ways in turn for as long as there are any.
 * A measure for what batching is worth; nothing else.
 *
 *     udp-naive.ts DEVICE IP PORT REMOTE SUBNET...    every subnet is behind the one remote host
 *
 * Prints `ready` when the device is there, and runs until it is killed. The device goes with it.
 */
import { writeSync } from 'node:fs';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { recvfrom, sendto } from '../../sys/libc.ts';
import { EAGAIN, POLLIN, readPacket, writePacket } from '../../sys/packet-calls.ts';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { PollSet } from '../../sys/poll-set.ts';
import { socketAddress } from '../../sys/socket-address.ts';
import { openTun } from '../../sys/tun.ts';
import { openUdpSocket } from '../../sys/udp-socket.ts';

/** Offsets in an IPv4 header (RFC 791). */
const TTL = 8;
const CHECKSUM = 10;
const DESTINATION = 16;

const BUFFER = 2048;

const [device = '', ip = '', port = '', remote = '', ...subnets] = process.argv.slice(2);
const routes = subnets.map(subnet => {
  const { ip: network, length } = Prefix.parse(subnet);
  const mask = length === 0 ? 0 : -1 << (32 - length);
  return { network: Number(network.key) | 0, mask, address: socketAddress(Ip.parse(remote), Number(port)) };
});
const tun = openTun(device, { persist: false });
const socket = openUdpSocket(Ip.parse(ip), Number(port));
const memory = new PacketMemory(2 * BUFFER);
const at = memory.reserve(BUFFER);
const packet = memory.bytes.subarray(at, at + BUFFER);
const from = new Uint8Array(16);
const poll = new PollSet(memory, [tun, socket]);
poll.want(0, POLLIN);
poll.want(1, POLLIN);
writeSync(1, 'ready\n');

for (;;) {
  poll.wait();
  for (let isActive = true; isActive; ) {
    const sent = toPeer();
    isActive = toHost() || sent;
  }
}

/** One packet from the device to its peer; false when there is none. */
function toPeer(): boolean {
  const length = readPacket(tun, memory.address + at, BUFFER);
  if (length < 0) return length !== -EAGAIN;
  const destination = memory.view.getInt32(at + DESTINATION);
  const route = routes.find(({ network, mask }) => (destination & mask) === network);
  if (route !== undefined && countHop()) sendto(socket, packet.subarray(0, length), route.address);
  return true;
}

/** One packet from a peer to the device; false when there is none. */
function toHost(): boolean {
  const length = recvfrom(socket, packet, from);
  if (length === undefined) return false;
  if (countHop()) writePacket(tun, memory.address + at, length);
  return true;
}

/** Takes one from the TTL, and keeps the checksum right (RFC 1141); false when it is used up. */
function countHop(): boolean {
  const { view } = memory;
  const ttl = view.getUint8(at + TTL);
  if (ttl <= 1) return false;
  view.setUint8(at + TTL, ttl - 1);
  const sum = view.getUint16(at + CHECKSUM) + 0x100;
  view.setUint16(at + CHECKSUM, (sum & 0xffff) + (sum >> 16));
  return true;
}
