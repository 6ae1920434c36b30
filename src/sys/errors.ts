/** A system call failed. The shape is Node's own, so that `isCode(error, 'ENOENT')` serves both. */
import { getSystemErrorMap } from 'node:util';
import { isCode, TulleError, type TulleErrorOptions } from '../base/errors.ts';

/** A system call failed. */
export class SysError extends TulleError {
  /** Positive errno. */
  readonly errno: number;
  readonly syscall: string;
  /** File or object the call was about. */
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, options: TulleErrorOptions & { readonly path?: string } = {}) {
    const { code, text } = describeErrno(errno);
    const about = options.path === undefined ? syscall : `${syscall} ${options.path}`;
    super(code, `${about}: ${text} (${code})`, { op: syscall, ...options });
    this.errno = errno;
    this.syscall = syscall;
    this.path = options.path;
  }
}

/** Whether it says nothing of what the kernel can: a call was interrupted, or memory or descriptors were short for a moment. */
export const isPassing = (error: unknown): boolean =>
  isCode(error, 'EAGAIN', 'EINTR', 'ENOMEM', 'EMFILE', 'ENFILE', 'ENOBUFS');

/** What Node has no name for, or another one: EOPNOTSUPP is ENOTSUP there, and a matter of sockets alone. */
const OTHERS: ReadonlyMap<number, readonly [code: string, text: string]> = new Map([
  [95, ['ENOTSUP', 'operation not supported']],
  [116, ['ESTALE', 'it has changed meanwhile']],
]);

/** Node makes it anew each time it is asked, and there are errors that come often: a link that is not there. */
const NAMED = getSystemErrorMap();

/** `EEXIST` and `file already exists` for 17; `ERRNO_530` for a number without a name. */
export function describeErrno(errno: number): { readonly code: string; readonly text: string } {
  const [code, text] = OTHERS.get(errno) ?? NAMED.get(-errno) ?? [`ERRNO_${errno}`, `error ${errno}`];
  return { code, text };
}
