/**
 * The way of leases to many hosts, with the time of each step:
 *
 *     sent ── committed                               the store has answered its writer
 *        └─── received ── checked ─┬─ applied         the kernel of a host has acknowledged every entry
 *                                  └─ announced       the kernel of a host has announced the route
 *
 * All times are milliseconds since the lease was sent.
 */
import { untilAborted } from '../../base/abort.ts';
import { type Distribution, distributionOf } from '../distribution.ts';

/** Of each host. */
const HOST_STEPS = ['received', 'checked', 'applied', 'announced'] as const;
export type HostStep = (typeof HOST_STEPS)[number];

/** `everywhere` is `announced` on the last of the hosts. */
export const STEPS = ['committed', ...HOST_STEPS, 'everywhere'] as const;
export type Step = (typeof STEPS)[number];

interface Journey {
  readonly sent: number;
  committed?: number;
  /** By step, then by host. */
  readonly reached: ReadonlyMap<HostStep, Map<string, number>>;
}

/** The leases of one measurement; hosts are named by the reporter. */
export class Trace {
  readonly #awaited: ReadonlyMap<string, readonly HostStep[]>;
  readonly #journeys = new Map<string, Journey>();
  #missing = 0;
  #onComplete: () => void = () => undefined;

  /** @param awaited the steps of each host without which a lease is not through. */
  constructor(awaited: ReadonlyMap<string, readonly HostStep[]>) {
    this.#awaited = awaited;
  }

  /** To be called when the lease is handed to the store. */
  sent(key: string): void {
    const reached = new Map(HOST_STEPS.map(step => [step, new Map<string, number>()]));
    this.#journeys.set(key, { sent: performance.now(), reached });
    this.#missing += 1;
    for (const steps of this.#awaited.values()) this.#missing += steps.length;
  }

  committed(key: string): void {
    const journey = this.#journeys.get(key);
    if (journey === undefined || journey.committed !== undefined) return;
    journey.committed = performance.now() - journey.sent;
    this.#arrived();
  }

  /** The first time counts, and other leases do not. */
  reached(step: HostStep, key: string, host: string): void {
    const journey = this.#journeys.get(key);
    const times = journey?.reached.get(step);
    const awaited = this.#awaited.get(host);
    if (journey === undefined || times === undefined || awaited === undefined || times.has(host)) return;
    times.set(host, performance.now() - journey.sent);
    if (awaited.includes(step)) this.#arrived();
  }

  /** Resolves when every lease that was sent is committed, and through on every host. @throws `signal.reason` */
  complete(signal: AbortSignal): Promise<void> {
    const whole = new Promise<void>(resolve => {
      if (this.#missing === 0) resolve();
      this.#onComplete = resolve;
    });
    return untilAborted(whole, signal);
  }

  /**
   * Of these hosts, where the step is one of a host. Undefined for a step that none of them reports: a process does
   * not report when it receives.
   */
  distribution(step: Step, hosts: { has(host: string): boolean } = this.#awaited): Distribution | undefined {
    const times = [...this.#journeys.values()].flatMap(journey => timesOf(journey, step, hosts));
    return times.length === 0 ? undefined : distributionOf(times);
  }

  #arrived(): void {
    this.#missing--;
    if (this.#missing === 0) this.#onComplete();
  }
}

function timesOf(
  { committed, reached }: Journey,
  step: Step,
  hosts: { has(host: string): boolean },
): number[] {
  if (step === 'committed') return committed === undefined ? [] : [committed];
  if (step === 'everywhere') return [Math.max(...(reached.get('announced')?.values() ?? []))];
  return [...(reached.get(step) ?? [])].filter(([host]) => hosts.has(host)).map(([, time]) => time);
}
