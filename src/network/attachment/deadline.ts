/** Engines wait for an answer while a container starts: it comes in time, whatever it is. */
import { untilAborted } from '../../base/abort.ts';
import { AttachmentError } from './attachments.ts';

/** Milliseconds for what may never come: an answer of the store, a link of the underlay. */
const WAITING = 2000;
/** Milliseconds for what is being done: an error is of less use than a container that starts late on a busy host. */
const WORKING = 8000;

/** When work has to end. */
export interface Deadline {
  /** Aborts two seconds after the beginning: for what may never come. */
  readonly soon: AbortSignal;
  /** Aborts shortly before the time is over: for what is being done. */
  readonly late: AbortSignal;
}

/**
 * What the work becomes, if it does so in time. Work that is given a signal ends with it, and says why; other work goes on.
 * @throws AttachmentError NOT_READY when it takes longer than eight seconds; what the work throws
 */
export async function within<T>(what: string, work: (deadline: Deadline) => Promise<T>): Promise<T> {
  using soon = new Timeout(WAITING);
  using late = new Timeout(WORKING - MARGIN);
  using over = new Timeout(WORKING);
  try {
    return await untilAborted(work({ soon: soon.signal, late: late.signal }), over.signal);
  } catch (error) {
    const at = [soon, late, over].find(({ signal }) => signal.aborted && signal.reason === error);
    if (at === undefined) throw error;
    const milliseconds = at === soon ? WAITING : WORKING;
    throw new AttachmentError('NOT_READY', `${what} takes longer than ${milliseconds / 1000} s`, {
      hint: 'try again; tulle status shows whether the store answers and what is missing',
    });
  }
}

/** As AbortSignal.timeout, but that nothing is left of it when the work has ended, which is nearly always. */
class Timeout implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  /** @param ms milliseconds */
  constructor(ms: number) {
    this.#timer = setTimeout(() => this.#controller.abort(), ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Milliseconds in which work can say what it waited for. */
const MARGIN = 100;
