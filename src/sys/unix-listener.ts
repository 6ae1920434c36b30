/** A unix socket that listens and that nobody serves yet: who connects waits in its queue. */
import { chmodSync, lstatSync } from 'node:fs';
import { connect } from 'node:net';
import { isCode } from '../base/errors.ts';
import { SysError } from './errors.ts';
import { bind, close, listen, SOCK_NONBLOCK, socket } from './libc.ts';
import { AF_UNIX, unixAddress } from './socket-address.ts';

/** include/linux/net.h. */
const SOCK_STREAM = 1;

/** include/uapi/asm-generic/errno.h. */
const ENAMETOOLONG = 36;

/** What systemd asks for as well; the kernel takes net.core.somaxconn where that is less. */
const BACKLOG = 4096;

/**
 * Descriptor of a stream socket at an absolute path where nothing is, open to root alone.
 *
 * @throws SysError EADDRINUSE, ENOENT, ENAMETOOLONG
 */
export function listenAt(path: string): number {
  const address = unixAddress(path);
  if (address === undefined) throw new SysError('bind', ENAMETOOLONG, { path });
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  try {
    bind(fd, address);
    chmodSync(path, 0o600);
    listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Of the file at a path; undefined where none is. Another number is another socket. @throws Error when that cannot be told */
export const inodeOf = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.ino;

/** Whether somebody answers at the socket; false also where there is none. @throws Error when that cannot be told */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', error => {
      if (isCode(error, 'ENOENT', 'ECONNREFUSED')) resolve(false);
      else reject(error);
    });
  });
}
