/**
 * Reports the state of this process to the service manager: the protocol of sd_notify(3). One datagram of `KEY=value` lines to the
 * unix socket named by NOTIFY_SOCKET; there is no answer, and that no manager listens is not an error.
 */
import { close, connect, SOCK_NONBLOCK, send, socket } from './libc.ts';
import { AF_UNIX, unixAddress } from './socket-address.ts';

/** include/linux/net.h, include/linux/socket.h. */
const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;

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
