/**
 * What the data plane reports: repairs, counted and handed on; the first refusal, and that there is none any more.
 *
 * Every repair counts, but not every one is reported. Of many like it in one round the first few are, with the number of
 * the others; and while another writer undoes repairs again and again, they are reported every ten seconds.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ObjectType, Repair, WriterConflict } from '../report.ts';

/** Repairs of one kind that are reported one by one. */
const MOST_REPORTED = 10;
/** Milliseconds between two reports while there is a conflict. */
const CONFLICT_INTERVAL = 10_000;

export interface RepairLogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRepair: ((repair: Repair) => void) | undefined;
}

export class RepairLog {
  readonly #options: RepairLogOptions;
  readonly #driftRepairs = new Map<ObjectType, number>();
  /** Not counted yet. */
  #repairs: Repair[] = [];
  /** Counted, and not reported yet. */
  #unreported: Repair[] = [];
  #reportedAt = Number.NEGATIVE_INFINITY;
  #conflict: WriterConflict | undefined;
  #lastError: string | undefined;

  constructor(options: RepairLogOptions) {
    this.#options = options;
  }

  /** Repairs of drift so far, by object. */
  get driftRepairs(): Partial<Record<ObjectType, number>> {
    return Object.fromEntries(this.#driftRepairs);
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  get conflict(): WriterConflict | undefined {
    return this.#conflict;
  }

  /** Whether anything was repaired since the last round ended. */
  get hasRepairs(): boolean {
    return this.#repairs.length > 0;
  }

  repaired(repair: Repair): void {
    this.#repairs.push(repair);
  }

  /**
   * The end of a round.
   * @param failure the first of those that remain, if any; of `failed` in all.
   * @param isPressed others change things faster than they are repaired.
   */
  endRound(failure: string | undefined, failed: number, isPressed: boolean): void {
    this.#count(isPressed);
    const isDue = this.#options.clock.monotonic() >= this.#reportedAt + CONFLICT_INTERVAL;
    if (this.#conflict === undefined || isDue) this.#emit(this.#conflict === undefined ? MOST_REPORTED : 1);
    const { logger } = this.#options;
    if (failure !== undefined && this.#lastError === undefined) {
      logger.warn({ failed, first: failure }, 'entries could not be programmed');
    } else if (failure === undefined && this.#lastError !== undefined) {
      logger.info({}, 'every entry is programmed again');
    }
    this.#lastError = failure;
  }

  /** A round that could not be ended. */
  failed(reason: string): void {
    if (this.#lastError === undefined) {
      this.#options.logger.warn({ error: reason }, 'the kernel could not be read');
    }
    this.#lastError = reason;
  }

  #count(isPressed: boolean): void {
    const drifts = this.#repairs.filter(({ cause }) => cause === 'drift');
    for (const { object } of drifts) {
      this.#driftRepairs.set(object, (this.#driftRepairs.get(object) ?? 0) + 1);
    }
    this.#unreported.push(...this.#repairs);
    this.#repairs = [];
    if (!isPressed) {
      this.#conflict = undefined;
      return;
    }
    const latest = drifts.at(-1) ?? this.#conflict?.latest;
    if (latest === undefined) return;
    const { since = this.#options.clock.now(), repairs = 0 } = this.#conflict ?? {};
    this.#conflict = { since, repairs: repairs + drifts.length, latest };
  }

  #emit(limit: number): void {
    const [first] = this.#unreported;
    if (first === undefined) return;
    const groups = Map.groupBy(
      this.#unreported,
      repair => `${repair.cause} ${repair.object} ${repair.action}`,
    );
    for (const group of groups.values()) {
      const reported = group.slice(0, limit);
      const others = group.length - reported.length;
      for (const [index, repair] of reported.entries()) {
        const isLast = index === reported.length - 1;
        this.#options.onRepair?.(isLast && others > 0 ? { ...repair, others } : repair);
      }
    }
    this.#options.logger.info({ count: this.#unreported.length, first }, 'repaired what others had changed');
    this.#unreported = [];
    this.#reportedAt = this.#options.clock.monotonic();
  }
}
