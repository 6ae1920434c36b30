/** Listens to the kernel's announcements as long as it lives, and knows when all of them have been received. */
import { setImmediate } from 'node:timers/promises';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { EventGroup, KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';

const GROUPS: readonly EventGroup[] = ['link', 'address', 'neighbor', 'netconf', 'nexthop', 'route'];

/** Turns of the event loop after which announcements that do not stop are no longer waited for. */
const MOST_TURNS = 10_000;

export interface KernelMonitorOptions {
  readonly rtnetlink: Rtnetlink;
  /** Whether the queues and filters of links matter: they come and go with each container. */
  readonly traffic: boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly onEvent: (event: KernelEvent) => void;
  /** Announcements were lost: only a full comparison finds what they said. */
  readonly onMissed: (reason: string) => void;
}

export class KernelMonitor implements AsyncDisposable {
  readonly #options: KernelMonitorOptions;
  readonly #stop = new AbortController();
  readonly #listening: Promise<void>;
  /** The listener waits: everything has been received. */
  #isIdle = false;

  constructor(options: KernelMonitorOptions) {
    this.#options = options;
    this.#listening = this.#catchUp();
  }

  /** Resolves when everything that was announced before the call has been received. */
  async caughtUp(): Promise<void> {
    for (let turn = 1; turn <= MOST_TURNS; turn++) {
      await setImmediate();
      // The first turn may have looked at the sockets before we were called.
      if (turn > 1 && (this.#isIdle || this.#stop.signal.aborted)) return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#listening;
  }

  async #catchUp(): Promise<void> {
    const { rtnetlink, traffic, clock, random, logger, onMissed } = this.#options;
    const { signal } = this.#stop;
    const groups: readonly EventGroup[] = traffic ? [...GROUPS, 'traffic'] : GROUPS;
    for (const delay of backoff(500, 30_000, random)) {
      try {
        for await (const event of rtnetlink.watch(groups, signal, { exceptOwn: true })) this.#receive(event);
        if (signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error: messageOf(error) }, 'kernel notifications cannot be received');
      }
      this.#isIdle = true;
      await clock.sleep(delay, signal).catch(() => undefined);
      onMissed('notifications were missed');
    }
  }

  #receive(event: KernelEvent): void {
    this.#isIdle = event.type === 'idle';
    if (event.type === 'overrun') this.#options.onMissed('notifications were lost');
    else if (event.type !== 'idle') this.#options.onEvent(event);
  }
}
