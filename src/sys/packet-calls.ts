/**
 * The system calls of the packet path. Unlike those of `libc.ts` they take addresses as numbers and return -errno: on
 * this path a failed call is an outcome that is counted, and nothing may be allocated for it.
 */
import koffi from 'koffi';

/** include/uapi/asm-generic/errno-base.h and errno.h, where Linux is the same on every processor of Node.js. */
export const EINTR = 4;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EMSGSIZE = 90;
export const ENOBUFS = 105;

/** include/uapi/asm-generic/poll.h. */
export const POLLIN = 1;
export const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 16;
const POLLNVAL = 32;
export const POLL_FAILED = POLLERR | POLLHUP | POLLNVAL;

const c = koffi.load(null);

type Transfer = (fd: number, address: number, length: number) => number;
type MessageTransfer = (fd: number, address: number, count: number, flags: number) => number;

const raw = {
  read: c.func('intptr_t read(int, uintptr_t, size_t)') as Transfer,
  write: c.func('intptr_t write(int, uintptr_t, size_t)') as Transfer,
  sendmmsg: c.func('int sendmmsg(int, uintptr_t, unsigned int, int)') as MessageTransfer,
  sendto: c.func('intptr_t sendto(int, uintptr_t, size_t, int, uintptr_t, uint32_t)') as (
    fd: number,
    address: number,
    length: number,
    flags: number,
    name: number,
    nameLength: number,
  ) => number,
  recvmmsg: c.func('int recvmmsg(int, uintptr_t, unsigned int, int, uintptr_t)') as (
    ...args: [...Parameters<MessageTransfer>, number]
  ) => number,
  poll: c.func('int poll(uintptr_t, unsigned long, int)') as Transfer,
};

/** Bytes read, or -errno. */
export function readPacket(fd: number, address: number, length: number): number {
  const result = raw.read(fd, address, length);
  return result < 0 ? -koffi.errno() : result;
}

/** Bytes written, or -errno. */
export function writePacket(fd: number, address: number, length: number): number {
  const result = raw.write(fd, address, length);
  return result < 0 ? -koffi.errno() : result;
}

/** @param address of `count` structs mmsghdr. @returns how many were sent, or -errno of the first. */
export function sendMessages(fd: number, address: number, count: number): number {
  const result = raw.sendmmsg(fd, address, count, 0);
  return result < 0 ? -koffi.errno() : result;
}

/** Cheaper than `sendMessages` for one datagram. @param name address of a struct sockaddr. @returns bytes sent, or -errno. */
export function sendDatagram(
  fd: number,
  address: number,
  length: number,
  name: number,
  nameLength: number,
): number {
  const result = raw.sendto(fd, address, length, 0, name, nameLength);
  return result < 0 ? -koffi.errno() : result;
}

/** @param address of `count` structs mmsghdr. @returns how many were received, or -errno. */
export function receiveMessages(fd: number, address: number, count: number): number {
  const result = raw.recvmmsg(fd, address, count, 0, 0);
  return result < 0 ? -koffi.errno() : result;
}

/** @param address of `count` structs pollfd. @param timeout milliseconds; -1: no limit. */
export function pollDescriptors(address: number, count: number, timeout: number): number {
  const result = raw.poll(address, count, timeout);
  return result < 0 ? -koffi.errno() : result;
}
