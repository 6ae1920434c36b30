/** The forwarder that ran before with the same control socket: it is asked to let go, and ended when it does not answer. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as v from 'valibot';
import { isCode, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { endProcess, type ProcessId } from '../sys/pidfd.ts';
import { processesWith } from '../sys/process-search.ts';
import { ForwarderClient } from './control/client.ts';
import { type ForwarderTable, ProcessIdText } from './control/messages.ts';

/** What a forwarder is started with, and known by. */
export const controlFlag = (control: string): string => `--control=${control}`;

/** Where a forwarder writes which process it is, for the day when it does not answer. */
export const pidFile = (control: string): string => `${control}.pid`;

/** Whole or not there; it need not outlive the machine, so there is no fsync. */
export function writePidFile(control: string, id: ProcessId): void {
  const path = pidFile(control);
  writeFileSync(`${path}.${id.pid}`, `${JSON.stringify(id)}\n`, { mode: 0o600 });
  renameSync(`${path}.${id.pid}`, path);
}

/**
 * Has a running forwarder let go of device and sockets.
 * @returns its table; undefined when none runs, or it had to be ended
 */
export async function takeOver(control: string, log: Logger): Promise<ForwarderTable | undefined> {
  try {
    using client = await ForwarderClient.connect(control);
    const table = await client.takeOver();
    log.info(
      { pid: client.hello.process.pid, routes: table.routes.length },
      'took over from another forwarder',
    );
    return table;
  } catch (error) {
    const id = readPidFile(pidFile(control));
    if (id !== undefined) {
      if (!isCode(error, 'FORWARDER_NOT_RUNNING'))
        log.warn({ pid: id.pid, error: messageOf(error) }, 'a forwarder does not let go and is ended');
      await endProcess(id, 0);
    }
    return undefined;
  }
}

/**
 * Ends forwarders that were started with this control socket and cannot be found by it, because it and the file beside it
 * were deleted. @returns whether there were any
 */
export async function endLostForwarders(control: string, log: Logger): Promise<boolean> {
  const lost = processesWith('forwarder', controlFlag(control));
  for (const id of lost) {
    log.warn({ pid: id.pid, control }, 'a forwarder whose control socket is gone is ended');
    await endProcess(id);
  }
  return lost.length > 0;
}

/** undefined when there is none, or nothing that can be read. */
function readPidFile(path: string): ProcessId | undefined {
  try {
    const checked = v.safeParse(ProcessIdText, JSON.parse(readFileSync(path, 'utf8')));
    return checked.success ? checked.output : undefined;
  } catch {
    return undefined;
  }
}
