/** Which signals wait: those of the calling thread, while it is in a system call that would stop halfway for one. */
import koffi from 'koffi';
import { SysError } from './errors.ts';

/** Bytes of sigset_t in every C library for Linux: room for 1024 signals. */
const SET_SIZE = 128;
/** include/uapi/asm-generic/signal-defs.h. */
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;

const c = koffi.load(null);
const mask = c.func('int pthread_sigmask(int, const void *, void *)') as (
  how: number,
  set: Uint8Array,
  former: Uint8Array | null,
) => number;

const ALL = new Uint8Array(SET_SIZE).fill(0xff);

/**
 * What `call` returns, which must not wait for anything. A signal that comes meanwhile is handled afterwards, or by
 * another thread. Those that nothing can hold back (SIGSTOP, a debugger, a freezer) still interrupt. @throws SysError
 */
export function holdingSignals<T>(call: () => T): T {
  const former = new Uint8Array(SET_SIZE);
  setMask(SIG_BLOCK, ALL, former);
  try {
    return call();
  } finally {
    setMask(SIG_SETMASK, former, null);
  }
}

/** Unlike other calls it returns the number of the error. */
function setMask(how: number, set: Uint8Array, former: Uint8Array | null): void {
  const errno = mask(how, set, former);
  if (errno !== 0) throw new SysError('pthread_sigmask', errno);
}
