/**
 * What happened on this host: written to the log, kept for `tulle events`, and handed to those who follow. One
 * call does both, so the log and the events never differ.
 *
 * When there is no room left, the oldest event of the most frequent type goes: thousands of rejected leases must
 * not push out the one line that says when the host lost its own.
 */
import type { AgentEvent, EventType } from '../../api/messages.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { abridge } from '../../base/printable.ts';
import { Watchable } from '../../base/watchable.ts';
import type { EventReporter } from '../../network/reports.ts';

/** Characters of a text that are remembered; events are many. */
const MOST_CHARACTERS = 2000;

const bounded = (value: unknown) => (typeof value === 'string' ? abridge(value, MOST_CHARACTERS) : value);

const LOG_METHOD = { info: 'info', warning: 'warn', error: 'error' } as const;

export interface EventLogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How many events are remembered: 1,000. */
  readonly capacity?: number;
}

export class EventLog implements EventReporter {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #capacity: number;
  readonly #events: AgentEvent[] = [];
  /** How many of each type are remembered. */
  readonly #counts = new Map<string, number>();
  readonly #lastId = new Watchable(0);

  constructor({ clock, logger, capacity = 1000 }: EventLogOptions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#capacity = capacity;
  }

  /** @param fields facts that JSON can hold; never a secret. Texts are cut: they may come from another program. */
  add(
    severity: AgentEvent['severity'],
    type: EventType,
    text: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    const event: AgentEvent = {
      id: this.#lastId.value + 1,
      time: new Date(this.#clock.now()).toISOString(),
      severity,
      type,
      text: abridge(text, MOST_CHARACTERS),
      fields: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, bounded(value)])),
    };
    this.#logger[LOG_METHOD[severity]]({ ...event.fields, event: type }, event.text);
    this.#events.push(event);
    this.#count(type, 1);
    if (this.#events.length > this.#capacity) this.#forgetOne();
    this.#lastId.set(event.id);
  }

  /** The newest events of one type, newest first. */
  newest(type: EventType, most: number): readonly AgentEvent[] {
    const found: AgentEvent[] = [];
    for (let index = this.#events.length - 1; index >= 0 && found.length < most; index--) {
      const event = this.#events[index];
      if (event?.type === type) found.push(event);
    }
    return found;
  }

  /** Events with a larger id than `after`, oldest first. */
  list(after = 0): readonly AgentEvent[] {
    return this.#events.filter(({ id }) => id > after);
  }

  /**
   * The same, and then what happens until `signal` aborts. Nothing is kept for a follower: one who does not keep up
   * misses what is forgotten meanwhile, and sees it in the ids.
   */
  async *follow(after: number, signal: AbortSignal): AsyncGenerator<AgentEvent, void> {
    let seen = after;
    for await (const _ of this.#lastId.changes(signal)) {
      for (const event of this.list(seen)) {
        if (signal.aborted) return;
        yield event;
        seen = event.id;
      }
    }
  }

  #forgetOne(): void {
    const [frequent] = [...this.#counts].reduce((most, one) => (one[1] > most[1] ? one : most), ['', 0]);
    const index = this.#events.findIndex(({ type }) => type === frequent);
    this.#events.splice(index, 1);
    this.#count(frequent, -1);
  }

  #count(type: string, change: number): void {
    this.#counts.set(type, (this.#counts.get(type) ?? 0) + change);
  }
}
