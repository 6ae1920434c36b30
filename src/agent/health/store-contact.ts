/**
 * Whether the store answers, as a condition of the agent: since when not, and why.
 *
 * An outage is reported once when it begins and once when it ends, however long it is. A store that comes and goes all
 * day would fill the log that way, so that contact which was lost often has to last before it is called stable.
 */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { ConditionFailure } from '../../network/reports.ts';
import type { CachedStore, Contact } from '../../store/cached-store.ts';
import type { StoreError } from '../../store/store.ts';
import type { Health } from './health.ts';

/** Milliseconds over which losses of contact are counted. */
const MEMORY = 3_600_000;
/** After so many losses contact has to last so many milliseconds. */
const TRIALS = [
  { losses: 60, lasts: 60_000 },
  { losses: 20, lasts: 10_000 },
] as const;

export interface StoreContactOptions {
  readonly store: Pick<CachedStore, 'contact'>;
  readonly clock: Clock;
  readonly health: Health;
  /** The store answers again. */
  readonly onAnswer: () => void;
}

export class StoreContact {
  readonly #options: StoreContactOptions;
  readonly #wakeup: Wakeup;
  /** On the wall clock; when contact came or went. */
  #since: number;
  #connected: boolean | undefined;
  /** On the monotonic clock; when contact was lost, in the last hour. */
  #losses: number[] = [];
  /** On the monotonic clock; contact that lasts until then is called stable. Undefined when that is settled. */
  #trialEnds: number | undefined;

  constructor(options: StoreContactOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
    this.#since = options.clock.now();
  }

  get since(): number {
    return this.#since;
  }

  /** Reports it until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#followContact(until),
      until => this.#judge(until),
    );
  }

  async #followContact(signal: AbortSignal): Promise<void> {
    let before: Contact | undefined;
    for await (const contact of this.#options.store.contact.changes(signal)) {
      // A revision, which every change of the store brings, changes nothing here.
      const isNew = contact.connected !== before?.connected || contact.error !== before?.error;
      before = contact;
      if (isNew) this.#wakeup.wake();
    }
  }

  async #judge(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#look();
      await this.#wakeup.pause((this.#trialEnds ?? Number.POSITIVE_INFINITY) - clock.monotonic(), signal);
    }
  }

  #look(): void {
    const { store, clock, health, onAnswer } = this.#options;
    const { connected, error } = store.contact.value;
    if (connected === undefined) return;
    const now = clock.monotonic();
    if (connected !== this.#connected) {
      this.#since = clock.now();
      if (connected) {
        this.#trialEnds = now + this.#trial(now);
        onAnswer();
      } else {
        this.#trialEnds = undefined;
        if (this.#connected) this.#losses.push(now);
      }
      this.#connected = connected;
    }
    if (!connected) return health.report('store', error && absence(error));
    if (this.#trialEnds !== undefined && now < this.#trialEnds) {
      return health.report('store', unsteadiness(this.#losses.length, error));
    }
    this.#trialEnds = undefined;
    health.report('store');
  }

  /** Milliseconds for which contact that is made now has to last. */
  #trial(now: number): number {
    this.#losses = this.#losses.filter(loss => now - loss < MEMORY);
    return TRIALS.find(({ losses }) => this.#losses.length >= losses)?.lasts ?? 0;
  }
}

function absence({ retriable, message, hint }: StoreError): ConditionFailure {
  return {
    ...(retriable
      ? { code: 'STORE_UNAVAILABLE', reason: `the store does not answer: ${message}` }
      : { code: 'STORE_REFUSED', reason: `the store cannot be used: ${message}` }),
    ...(hint === undefined ? {} : { hint }),
  };
}

function unsteadiness(losses: number, error: StoreError | undefined): ConditionFailure {
  const last = error === undefined ? '' : `; the last time: ${error.message}`;
  return {
    code: 'STORE_UNAVAILABLE',
    reason: `the store answers, but the connection was lost ${losses} times in the last hour${last}`,
    hint: 'check the network between this host and the store, and the load of the store',
  };
}
