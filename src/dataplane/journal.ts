/** What the data plane has to tell: repairs, counted and handed on; the first refusal, and that all is well again. */
import type { Logger } from '../base/log.ts';
import type { ObjectType, Repair } from './report.ts';

export class Journal {
  readonly #logger: Logger;
  readonly #onRepair: ((repair: Repair) => void) | undefined;
  readonly #driftRepairs = new Map<ObjectType, number>();
  #repairs: Repair[] = [];
  #lastError: string | undefined;

  constructor(logger: Logger, onRepair: ((repair: Repair) => void) | undefined) {
    this.#logger = logger;
    this.#onRepair = onRepair;
  }

  /** Repairs of drift so far, by object. */
  get driftRepairs(): Partial<Record<ObjectType, number>> {
    return Object.fromEntries(this.#driftRepairs);
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  repaired(repair: Repair): void {
    this.#repairs.push(repair);
  }

  /** The end of a round. @param failure the first of those that remain, if any; of `failed` in all. */
  endRound(failure: string | undefined, failed: number): void {
    this.#tellRepairs();
    if (failure !== undefined && this.#lastError === undefined) {
      this.#logger.warn({ failed, first: failure }, 'the kernel refuses entries');
    } else if (failure === undefined && this.#lastError !== undefined) {
      this.#logger.info({}, 'the kernel holds every entry again');
    }
    this.#lastError = failure;
  }

  /** A round that could not be ended. */
  failed(reason: string): void {
    if (this.#lastError === undefined) this.#logger.warn({ error: reason }, 'the kernel could not be read');
    this.#lastError = reason;
  }

  #tellRepairs(): void {
    const repairs = this.#repairs;
    const [first] = repairs;
    if (first === undefined) return;
    this.#repairs = [];
    for (const repair of repairs) {
      if (repair.cause === 'drift') {
        this.#driftRepairs.set(repair.object, (this.#driftRepairs.get(repair.object) ?? 0) + 1);
      }
      this.#onRepair?.(repair);
    }
    this.#logger.info({ count: repairs.length, first }, 'repaired what others had changed');
  }
}
