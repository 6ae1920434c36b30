/**
 * Listening sockets that a service manager opened for this process: the protocol of sd_listen_fds(3). They are the
 * descriptors from 3 on, and three variables say how many, for whom, and what each is called:
 *
 *     LISTEN_PID=4711 LISTEN_FDS=2 LISTEN_FDNAMES=docker-plugin:api      descriptors 3 and 4
 *
 * The manager keeps them open, so that who connects while the process is away waits in their queue.
 */
import { fstatSync } from 'node:fs';
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import type { Problem } from '../base/errors.ts';
import { getsockopt, ioctl } from './libc.ts';
import { AF_UNIX } from './socket-address.ts';

/** SD_LISTEN_FDS_START. */
const FIRST = 3;

/** More than any unit has; a number out of a broken environment is not counted up to. */
const MOST = 256;

/** What sd_listen_fds_with_names(3) calls a socket whose manager gave no name. */
const UNNAMED = 'unknown';

/** systemd.socket(5), FileDescriptorName=. */
const MOST_OF_A_NAME = 255;

/** include/uapi/asm-generic/socket.h, include/linux/socket.h, include/linux/net.h, include/uapi/asm-generic/ioctls.h. */
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const SOCK_STREAM = 1;
const FIOCLEX = 0x5451;

/** A unix stream socket that listens. */
export interface PassedSocket {
  readonly fd: number;
  /** FileDescriptorName= of its unit; `unknown` when the manager gave none. */
  readonly name: string;
}

/** What was passed, and what of it cannot be used; a wrong variable costs a socket, never the start. */
export interface PassedSockets {
  readonly sockets: readonly PassedSocket[];
  readonly problems: readonly Problem[];
}

const NONE: PassedSockets = { sockets: [], problems: [] };

/**
 * Takes over the sockets that were passed to this process: children do not inherit them, and the variables are gone
 * from `environment`, because they mean nobody else. Call it once, before descriptors are opened or children started.
 */
export function takePassedSockets(
  environment: Record<string, string | undefined>,
  pid: number,
): PassedSockets {
  const announced = parseListenVariables(environment, pid);
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  const looked = announced.sockets.map(socket => ({ socket, reason: reasonAgainst(socket.fd) }));
  return {
    sockets: looked.flatMap(({ socket, reason }) => (reason === undefined ? [socket] : [])),
    problems: [
      ...announced.problems,
      ...looked.flatMap(({ socket: { fd, name }, reason }) =>
        reason === undefined
          ? []
          : [{ path: '$LISTEN_FDS', value: name, message: `descriptor ${fd} ${reason}`, hint: HINT }],
      ),
    ],
  };
}

const HINT = 'pass a listening unix stream socket: ListenStream=/a/path in a .socket unit';

/**
 * What the variables announce to the process `pid`; nobody has looked at the descriptors. Variables for another process
 * are no problem: a parent that did not use them may have left them in the environment.
 */
export function parseListenVariables(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): PassedSockets {
  const { LISTEN_PID: whose, LISTEN_FDS: count, LISTEN_FDNAMES: names } = environment;
  if (whose === undefined || count === undefined) return NONE;
  const fault = (path: string, value: string, message: string): PassedSockets => ({
    sockets: [],
    problems: [{ path, value, message }],
  });
  if (!isDecimal(whose)) return fault('$LISTEN_PID', whose, 'want the number of a process');
  if (Number(whose) !== pid) return NONE;
  if (!isDecimal(count) || Number(count) > MOST) {
    return fault('$LISTEN_FDS', count, `want a number from 0 to ${MOST}`);
  }
  const given = names === undefined || names === '' ? [] : names.split(':');
  const areNamed = given.length === Number(count) && given.every(isName);
  const sockets = Array.from({ length: Number(count) }, (_, at) => ({
    fd: FIRST + at,
    name: areNamed ? (given[at] ?? UNNAMED) : UNNAMED,
  }));
  if (areNamed || given.length === 0) return { sockets, problems: [] };
  const message = `want ${count} names, separated by colons; the sockets count as unnamed`;
  return { sockets, problems: [{ path: '$LISTEN_FDNAMES', value: names, message }] };
}

/** No sign and no white space, which Number() takes, and nothing that it would round. */
const isDecimal = (text: string) => /^\d{1,9}$/.test(text);

/** systemd.socket(5): ASCII without control characters. A name may be empty. */
const isName = (text: string) => text.length <= MOST_OF_A_NAME && /^[\x20-\x7e]*$/.test(text);

/** Why a descriptor is no socket to serve on; undefined when it is one, which children do not inherit from then on. */
function reasonAgainst(fd: number): string | undefined {
  try {
    if (!fstatSync(fd).isSocket()) return 'is not a socket';
    if (optionOf(fd, SO_DOMAIN) !== AF_UNIX) return 'is not a unix socket';
    if (optionOf(fd, SO_TYPE) !== SOCK_STREAM) return 'is not a stream socket';
    if (optionOf(fd, SO_ACCEPTCONN) === 0) return 'does not listen';
    ioctl(fd, FIOCLEX, 0, 'FIOCLEX');
    return undefined;
  } catch {
    return 'is not open';
  }
}

function optionOf(fd: number, option: number): number {
  const value = getsockopt(fd, SOL_SOCKET, option, Int32Array.BYTES_PER_ELEMENT);
  return new DataView(value.buffer, value.byteOffset).getInt32(0, HOST_IS_LITTLE);
}
