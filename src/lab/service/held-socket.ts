/**
 * The socket of a host's Docker plugin, held as systemd holds that of `tulle-docker.socket`: by a process that does nothing
 * else. So dockerd can connect before there is an agent, while it restarts and after it was killed, and waits in the queue.
 *
 *     holder, until the host ends     sleep ─ descriptor 3 ─┐
 *                                                           ├─ socket at /run/docker/plugins/tulle.sock
 *     agent, as often as it starts    node ── descriptor 3 ─┘
 *
 * Whoever starts an agent copies the descriptor out of the holder, which is found by the socket itself.
 */
import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import { DOCKER_PLUGIN_FD_NAME, DOCKER_PLUGIN_SOCKET } from '../../console/defaults.ts';
import { Netns } from '../../sys/netns.ts';
import { spawnInPidNamespace } from '../../sys/pid-namespace.ts';
import { copyDescriptor } from '../../sys/pidfd.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { listenAt } from '../../sys/unix-listener.ts';
import { namespacesOf } from '../host/anchor.ts';
import type { LabHost } from '../host/host.ts';
import { processesOf } from '../host/processes.ts';

/** The descriptor of whoever was passed one socket. */
const PASSED = 3;

/** A descriptor of ours of the socket that a host holds, until it is disposed. */
export class HeldSocket implements Disposable {
  readonly passed: PassedSocket;

  private constructor(fd: number) {
    this.passed = { fd, name: DOCKER_PLUGIN_FD_NAME };
  }

  /** The one that is held, or a new one that is held from now on. @throws SysError, ProcessError */
  static async of(host: LabHost): Promise<HeldSocket> {
    return HeldSocket.#find(host) ?? (await HeldSocket.#hold(host));
  }

  static #find(host: LabHost): HeldSocket | undefined {
    const inode = inodeOf(host);
    if (inode === undefined) return undefined;
    const holder = processesOf(host.anchor).find(
      ({ id: { pid } }) => linkOf(`/proc/${pid}/fd/${PASSED}`) === `socket:[${inode}]`,
    );
    const fd = holder && copyDescriptor(holder.id, PASSED);
    return fd === undefined ? undefined : new HeldSocket(fd);
  }

  static async #hold(host: LabHost): Promise<HeldSocket> {
    await host.run('mkdir', ['-p', DOCKER_PLUGIN_SOCKET.replace(/\/[^/]*$/, '')]);
    await host.run('rm', ['-f', DOCKER_PLUGIN_SOCKET]);
    using netns = Netns.open(host.netnsFile);
    const held = new HeldSocket(netns.run(() => listenAt(host.path(DOCKER_PLUGIN_SOCKET))));
    try {
      await spawnInPidNamespace('sleep', ['infinity'], {
        namespaces: namespacesOf(host.anchor),
        passed: [held.passed],
      });
      return held;
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.passed.fd);
  }
}

/** __SO_ACCEPTCON (include/uapi/linux/net.h), as the table has it. */
const LISTENS = '00010000';

/** Of the socket at the plugin's path, by the host's table of them: `ffff...: 2 0 10000 1 1 4711 /a/path`. */
function inodeOf(host: LabHost): string | undefined {
  const table = readFileSync(`/proc/${host.anchor.pid}/net/unix`, 'utf8');
  // Connections that wait in its queue have the path of the socket, too.
  return table
    .split('\n')
    .filter(line => line.endsWith(` ${host.path(DOCKER_PLUGIN_SOCKET)}`))
    .map(line => line.trim().split(/\s+/))
    .find(([, , , flags]) => flags === LISTENS)?.[6];
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // No such descriptor, or the process ended while we looked.
    return undefined;
  }
}
