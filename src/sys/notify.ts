/**
 * Reports the state of this process to the service manager: the protocol of sd_notify(3). One datagram of `KEY=value` lines to the
 * unix socket named by NOTIFY_SOCKET; there is no answer, and that no manager listens is not an error.
 */
import { close, connect, SOCK_NONBLOCK, send, socket } from './libc.ts';

/** include/linux/socket.h, include/linux/net.h. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;

/** sizeof(sun_path), include/uapi/linux/un.h. */
const MAX_PATH = 108;

export interface Notification {
  /** The service is up; systemd lets units that wait for it start. */
  readonly ready?: boolean;
  readonly stopping?: boolean;
  /** One line for `systemctl status`. */
  readonly status?: string;
  /** A sign of life; see `watchdogInterval`. */
  readonly watchdog?: boolean;
}

export class ServiceManager {
  readonly #address: Uint8Array;
  /** Milliseconds within which the manager wants a sign of life; undefined when it does not. */
  readonly watchdogTimeout: number | undefined;

  private constructor(address: Uint8Array, watchdogTimeout: number | undefined) {
    this.#address = address;
    this.watchdogTimeout = watchdogTimeout;
  }

  /** undefined when no service manager wants to know. */
  static fromEnvironment(
    environment: Readonly<Record<string, string | undefined>>,
    pid: number,
  ): ServiceManager | undefined {
    const path = environment['NOTIFY_SOCKET'] ?? '';
    const address = unixAddress(path);
    if (address === undefined) return undefined;
    const microseconds = Number(environment['WATCHDOG_USEC']);
    // The variables are inherited by children; WATCHDOG_PID says whom they are meant for.
    const ours = [undefined, '', String(pid)].includes(environment['WATCHDOG_PID']);
    return new ServiceManager(address, ours && microseconds > 0 ? microseconds / 1000 : undefined);
  }

  /** Whether the datagram was handed over; a manager that does not read is not waited for. */
  notify({ ready, stopping, status, watchdog }: Notification): boolean {
    const lines = [
      ...(ready === true ? ['READY=1'] : []),
      ...(stopping === true ? ['STOPPING=1'] : []),
      ...(status === undefined ? [] : [`STATUS=${status.replaceAll('\n', ' ')}`]),
      ...(watchdog === true ? ['WATCHDOG=1'] : []),
    ];
    // A new socket each time: the manager may have been re-executed, and then the old peer is gone.
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    try {
      connect(fd, this.#address);
      return send(fd, new TextEncoder().encode(lines.join('\n')), MSG_NOSIGNAL) !== undefined;
    } catch {
      return false;
    } finally {
      close(fd);
    }
  }
}

/** struct sockaddr_un: family, path. A leading `@` is an abstract name, written with a zero byte. */
function unixAddress(path: string): Uint8Array | undefined {
  const bytes = new TextEncoder().encode(path);
  if (!/^[/@]./.test(path) || bytes.byteLength >= MAX_PATH) return undefined;
  const abstract = path.startsWith('@');
  const address = new Uint8Array(2 + bytes.byteLength + (abstract ? 0 : 1));
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX;
  address.set(bytes, 2);
  if (abstract) address[2] = 0;
  return address;
}
