/**
 * The C library's system calls, as functions that throw. Names, arguments and meaning are those of section 2
 * of the manual; a failure is a SysError with the call's name and errno. On a non-blocking descriptor, "would
 * block" is no failure: the transfer calls return undefined for it.
 *
 * Every call is synchronous. Buffers are read and written in place.
 */
import koffi from 'koffi';
import { SysError } from './errors.ts';

/** Every descriptor made here is close-on-exec. include/uapi/asm-generic/fcntl.h. */
const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
const O_CLOEXEC = SOCK_CLOEXEC;

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

/** include/uapi/asm-generic/errno.h. */
const ESRCH = 3;
const EINTR = 4;
const EAGAIN = 11;

// `null` is this process itself, which is linked to a C library already, whichever one that is.
const c = koffi.load(null);

/** struct sock_filter, include/uapi/linux/filter.h: one instruction of the classic packet filter. */
export interface FilterInstruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

koffi.struct('sock_filter', { code: 'uint16_t', jt: 'uint8_t', jf: 'uint8_t', k: 'uint32_t' });
const sockFprog = koffi.struct('sock_fprog', { len: 'uint16_t', filter: 'sock_filter *' });

/** struct __kernel_old_timeval, include/uapi/linux/time_types.h. */
const timeval = koffi.struct('timeval', { seconds: 'long', microseconds: 'long' });

type Call<Arguments extends unknown[]> = (...args: Arguments) => number;

const raw = {
  socket: c.func('int socket(int, int, int)') as Call<[number, number, number]>,
  bind: c.func('int bind(int, const void *, uint32_t)') as Call<[number, Uint8Array, number]>,
  connect: c.func('int connect(int, const void *, uint32_t)') as Call<[number, Uint8Array, number]>,
  setsockopt: c.func('int setsockopt(int, int, int, const void *, uint32_t)') as Call<
    [number, number, number, Uint8Array, number]
  >,
  setTimeval: c.func('int setsockopt(int, int, int, const timeval *, uint32_t)') as Call<
    [number, number, number, { seconds: number; microseconds: number }, number]
  >,
  attachFilter: c.func('int setsockopt(int, int, int, const sock_fprog *, uint32_t)') as Call<
    [number, number, number, { len: number; filter: readonly FilterInstruction[] }, number]
  >,
  getsockopt: c.func('int getsockopt(int, int, int, void *, void *)') as Call<
    [number, number, number, Uint8Array, Uint32Array]
  >,
  getsockname: c.func('int getsockname(int, void *, void *)') as Call<[number, Uint8Array, Uint32Array]>,
  listen: c.func('int listen(int, int)') as Call<[number, number]>,
  accept4: c.func('int accept4(int, void *, void *, int)') as Call<[number, null, null, number]>,
  send: c.func('intptr_t send(int, const void *, size_t, int)') as Call<[number, Uint8Array, number, number]>,
  recv: c.func('intptr_t recv(int, void *, size_t, int)') as Call<[number, Uint8Array, number, number]>,
  sendto: c.func('intptr_t sendto(int, const void *, size_t, int, const void *, uint32_t)') as Call<
    [number, Uint8Array, number, number, Uint8Array, number]
  >,
  recvfrom: c.func('intptr_t recvfrom(int, void *, size_t, int, void *, void *)') as Call<
    [number, Uint8Array, number, number, Uint8Array, Uint32Array]
  >,
  ioctl: c.func('int ioctl(int, unsigned long, unsigned long)') as Call<[number, number, number]>,
  ioctlBytes: c.func('int ioctl(int, unsigned long, void *)') as Call<[number, number, Uint8Array]>,
  close: c.func('int close(int)') as Call<[number]>,
  setns: c.func('int setns(int, int)') as Call<[number, number]>,
  unshare: c.func('int unshare(int)') as Call<[number]>,
  mount: c.func('int mount(const char *, const char *, const char *, unsigned long, const char *)') as Call<
    [string, string, string, number, string | null]
  >,
  pipe2: c.func('int pipe2(void *, int)') as Call<[Int32Array, number]>,
  memfdCreate: c.func('int memfd_create(const char *, unsigned int)') as Call<[string, number]>,
  // Numbers above 423 are the same on every architecture; the C library has names for these only since 2.36.
  pidfd: c.func('long syscall(long, int, unsigned int)') as Call<[number, number, number]>,
  pidfdSignal: c.func('long syscall(long, int, int, void *, unsigned int)') as Call<
    [number, number, number, null, number]
  >,
  pidfdGetfd: c.func('long syscall(long, int, int, unsigned int)') as Call<[number, number, number, number]>,
  exit: c.func('void _exit(int)') as (status: number) => void,
  umount2: c.func('int umount2(const char *, int)') as Call<[string, number]>,
};

/** In a thread of koffi, which calls back with what the call returned. */
const sendAsync = (raw.send as unknown as { readonly async: SendAsync }).async;
type SendAsync = (
  ...args: [
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    done: (error: Error | null, sent: number) => void,
  ]
) => void;

function check(syscall: string, result: number, path?: string): number {
  if (result < 0) throw new SysError(syscall, koffi.errno(), path === undefined ? {} : { path });
  return result;
}

/** Like `check`, for calls that move bytes: undefined when nothing could be moved without waiting. */
function transferred(syscall: string, result: number): number | undefined {
  if (result >= 0) return result;
  const errno = koffi.errno();
  if (errno === EAGAIN || errno === EINTR) return undefined;
  throw new SysError(syscall, errno);
}

export function socket(domain: number, type: number, protocol: number): number {
  return check('socket', raw.socket(domain, type | SOCK_CLOEXEC, protocol));
}

/** @param address a struct sockaddr of any family. */
export function bind(fd: number, address: Uint8Array): void {
  check('bind', raw.bind(fd, address, address.byteLength));
}

/** @param address a struct sockaddr of any family. */
export function connect(fd: number, address: Uint8Array): void {
  check('connect', raw.connect(fd, address, address.byteLength));
}

/** An option whose value is an int, which is nearly all of them. */
export function setsockopt(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  check('setsockopt', raw.setsockopt(fd, level, option, bytes, bytes.byteLength));
}

/** An option whose value is neither an int nor a time: SO_BINDTODEVICE. */
export function setsockoptBytes(fd: number, level: number, option: number, value: Uint8Array): void {
  check('setsockopt', raw.setsockopt(fd, level, option, value, value.byteLength));
}

/** The value of an option that is a struct. @param size of the struct. */
export function getsockopt(fd: number, level: number, option: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  check('getsockopt', raw.getsockopt(fd, level, option, value, Uint32Array.of(size)));
  return value;
}

/** An option whose value is a time: SO_RCVTIMEO, SO_SNDTIMEO. @param milliseconds 0 for no limit */
export function setTimeval(fd: number, level: number, option: number, milliseconds: number): void {
  const value = { seconds: Math.floor(milliseconds / 1000), microseconds: (milliseconds % 1000) * 1000 };
  check('setsockopt', raw.setTimeval(fd, level, option, value, koffi.sizeof(timeval)));
}

export function listen(fd: number, backlog: number): void {
  check('listen', raw.listen(fd, backlog));
}

/** Descriptor of the next connection; undefined when there is none, or none came within SO_RCVTIMEO. */
export function accept(fd: number): number | undefined {
  return transferred('accept4', raw.accept4(fd, null, null, SOCK_CLOEXEC));
}

/** include/uapi/linux/memfd.h. */
const MFD_CLOEXEC = 1;

/** A file in memory that is gone with its last descriptor (memfd_create(2)). @param name for people who look in /proc */
export function memfdCreate(name: string): number {
  return check('memfd_create', raw.memfdCreate(name, MFD_CLOEXEC));
}

/** Lets a program decide what a socket receives: SO_ATTACH_FILTER. */
export function attachFilter(fd: number, filter: readonly FilterInstruction[]): void {
  const program = { len: filter.length, filter };
  check('setsockopt', raw.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, koffi.sizeof(sockFprog)));
}

/** The local address: a struct sockaddr of at most `size` bytes. */
export function getsockname(fd: number, size: number): Uint8Array {
  const address = new Uint8Array(size);
  const length = Uint32Array.of(size);
  check('getsockname', raw.getsockname(fd, address, length));
  return address.subarray(0, Math.min(size, length[0] ?? 0));
}

/** Bytes sent; undefined when the socket's buffer is full. */
export function send(fd: number, bytes: Uint8Array, flags = 0): number | undefined {
  return transferred('send', raw.send(fd, bytes, bytes.byteLength, flags));
}

/**
 * The same in another thread. Why nothing was sent is only known there.
 * @returns bytes sent; -1 when none were. @param bytes nobody may write to them meanwhile
 */
export function sendElsewhere(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    sendAsync(fd, bytes, bytes.byteLength, 0, (error, sent) => (error ? reject(error) : resolve(sent)));
  });
}

/** Bytes received; undefined when there is nothing. With MSG_TRUNC the real length, which may exceed `buffer`. */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number | undefined {
  return transferred('recv', raw.recv(fd, buffer, buffer.byteLength, flags));
}

/** Bytes sent; undefined when the socket's buffer is full. @param address a struct sockaddr of any family. */
export function sendto(fd: number, bytes: Uint8Array, address: Uint8Array): number | undefined {
  return transferred('sendto', raw.sendto(fd, bytes, bytes.byteLength, 0, address, address.byteLength));
}

/** Bytes received; undefined when there is nothing. @param address filled with the struct sockaddr of the sender. */
export function recvfrom(fd: number, buffer: Uint8Array, address: Uint8Array): number | undefined {
  const length = Uint32Array.of(address.byteLength);
  return transferred('recvfrom', raw.recvfrom(fd, buffer, buffer.byteLength, 0, address, length));
}

export function close(fd: number): void {
  check('close', raw.close(fd));
}

/** A request whose argument is a number. @param name of the request, for the error. */
export function ioctl(fd: number, request: number, value: number, name: string): void {
  check(name, raw.ioctl(fd, request, value));
}

/** A request whose argument is a struct, which the kernel may change. @param name of the request, for the error. */
export function ioctlBytes(fd: number, request: number, argument: Uint8Array, name: string): void {
  check(name, raw.ioctlBytes(fd, request, argument));
}

/** Moves the calling thread into the namespace that `fd` refers to. */
export function setns(fd: number, type: number): void {
  check('setns', raw.setns(fd, type));
}

/** Moves the calling thread into a new namespace. */
export function unshare(type: number): void {
  check('unshare', raw.unshare(type));
}

/** @param data options of the filesystem: `size=64k`. */
export function mount(source: string, target: string, type: string, flags: number, data?: string): void {
  check('mount', raw.mount(source, target, type, flags, data ?? null), target);
}

/** Clears O_NONBLOCK (FIONBIO, include/uapi/asm-generic/ioctls.h). A descriptor that is closed by now is no failure. */
export function setBlocking(fd: number): void {
  raw.ioctlBytes(fd, 0x5421, new Uint8Array(4));
}

/** Ends this process: no handler runs, and no thread is waited for. */
export function exitNow(status: number): never {
  raw.exit(status);
  throw new Error('_exit(2) returned');
}

export function umount(target: string, flags: number): void {
  check('umount2', raw.umount2(target, flags), target);
}

/** include/uapi/asm-generic/unistd.h. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

/** A close-on-exec descriptor that stands for a process and becomes readable when it ends; undefined: no such. */
export function pidfdOpen(pid: number): number | undefined {
  const fd = raw.pidfd(SYS_PIDFD_OPEN, pid, 0);
  if (fd < 0 && koffi.errno() === ESRCH) return undefined;
  return check('pidfd_open', fd);
}

/** Whether the process was still there to be signalled. */
export function pidfdSendSignal(fd: number, signal: number): boolean {
  const result = raw.pidfdSignal(SYS_PIDFD_SEND_SIGNAL, fd, signal, null, 0);
  if (result < 0 && koffi.errno() === ESRCH) return false;
  check('pidfd_send_signal', result);
  return true;
}

/** A close-on-exec copy of a descriptor of the process that `pidfd` stands for. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return check('pidfd_getfd', raw.pidfdGetfd(SYS_PIDFD_GETFD, pidfd, fd, 0));
}

/** A new pipe, both ends close-on-exec and blocking: what is written to `write` is read from `read`. */
export function pipe(): { readonly read: number; readonly write: number } {
  const ends = new Int32Array(2);
  check('pipe2', raw.pipe2(ends, O_CLOEXEC));
  const [read = -1, write = -1] = ends;
  return { read, write };
}
