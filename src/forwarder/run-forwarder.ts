/**
 * The forwarder's life: a thread for packets, and this one for the control socket.
 *
 * One that starts while another runs with the same control socket takes over: it loads its program, has the other let
 * go of device and sockets and hand over its table, and goes on with them. Nothing but a request of the agent, a signal or a
 * deleted device ends a forwarder: that the agent ends does not.
 */
import { closeSync, rmSync } from 'node:fs';
import { untilAborted } from '../base/abort.ts';
import { isCode } from '../base/errors.ts';
import type { Family, Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { packageVersion } from '../base/version.ts';
import { identify } from '../sys/pidfd.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { openTun } from '../sys/tun.ts';
import { openUdpSocket } from '../sys/udp-socket.ts';
import { CONTROL_VERSION, formatListen, type Hello } from './control/messages.ts';
import { ControlServer } from './control/server.ts';
import type { DataPathThread } from './path/data-path-thread.ts';
import { endLostForwarders, pidFile, takeOver, writePidFile } from './predecessor.ts';
import { TableKeeper } from './table-keeper.ts';

export interface ForwarderOptions {
  /** Name of the TUN device; made when there is none. */
  readonly device: string;
  /** One address of each family at most. */
  readonly listen: readonly ForwarderAddress[];
  /** The longest packet that fits, where a route does not say otherwise. */
  readonly mtu: number;
  /** Path of the control socket. */
  readonly control: string;
}

export interface ForwarderAddress {
  readonly ip: Ip;
  readonly port: number;
}

/**
 * Runs until `signal` aborts or the control socket asks for the end.
 * @param thread that forwards nothing yet.
 * @throws SysError when device or sockets cannot be had; Error when the device is deleted.
 */
export async function runForwarder(
  options: ForwarderOptions,
  thread: DataPathThread,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { device, control } = options;
  const end = new AbortController();
  /** Whether another forwarder has taken over. */
  let isReplaced = false;
  const keeper = new TableKeeper(thread, await takeOver(control, log));
  const descriptors = await openDescriptors(options).catch(async (error: unknown) => {
    if (!isCode(error, 'EBUSY', 'EADDRINUSE') || !(await endLostForwarders(control, log))) throw error;
    return await openDescriptors(options);
  });
  const letGo = once(async () => {
    await thread.stop();
    for (const fd of [descriptors.device, ...Object.values(descriptors.sockets)]) if (fd >= 0) closeSync(fd);
  });
  try {
    thread.forward(descriptors, keeper.data);
    const hello = helloOf(options);
    await using server = await ControlServer.open(control, {
      hello,
      onEnd: () => end.abort(),
      answer: async request => {
        if (request.do === 'stop') return { ends: true };
        if (request.do !== 'yield') return { result: await keeper.answer(request) };
        // Before the answer: the other opens them as soon as it has it.
        await letGo();
        server.leavePath();
        isReplaced = true;
        return { result: keeper.text, ends: true };
      },
    });
    writePidFile(control, hello.process);
    const { process, listen, mtu } = hello;
    log.info({ device, listen, mtu, pid: process.pid, routes: keeper.size, control }, 'forwarding');
    await untilAborted(thread.failed, AbortSignal.any([signal, end.signal])).catch((error: unknown) => {
      if (!signal.aborted && !end.signal.aborted) throw error;
    });
  } finally {
    if (!isReplaced) rmSync(pidFile(control), { force: true });
    await letGo();
  }
  log.info({ device }, 'stopped; the device stays');
}

function helloOf({ device, listen, mtu }: ForwarderOptions): Hello {
  return {
    hello: 'tulle forwarder',
    control: CONTROL_VERSION,
    version: packageVersion(),
    process: identify(process.pid) ?? { pid: process.pid, started: 0 },
    device,
    listen: listen.map(({ ip, port }) => formatListen(ip, port)),
    mtu,
  };
}

async function openDescriptors({ device, listen }: ForwarderOptions) {
  const open: number[] = [];
  const keep = (fd: number) => {
    open.push(fd);
    return fd;
  };
  const socketOf = (family: Family) => {
    const address = listen.find(({ ip }) => ip.family === family);
    return address === undefined ? -1 : keep(openUdpSocket(address.ip, address.port, { gro: true }));
  };
  try {
    const tun = keep(openTun(device, { offloads: true }));
    // ICMP errors come from the device with this host's own address as their source (fib_validate_source).
    writeSysctl(`net/ipv4/conf/${device}/accept_local`, '1');
    return { device: tun, sockets: { 4: socketOf('ipv4'), 6: socketOf('ipv6') } };
  } catch (error) {
    for (const fd of open) closeSync(fd);
    throw error;
  }
}

/** The first call does it; later ones wait for that. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
