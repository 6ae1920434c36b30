/**
 * The inspectors of this host. A check asks for a report, and then for as many observations as it needs; the one on another
 * host asks the same. To start a program takes longer than most answers, so that each is kept for a while.
 */
import type { Writable } from 'node:stream';
import type { InspectionRequest } from '../../../api/inspection-lines.ts';
import { InspectorProcess, type InspectorProgram } from './inspector-process.ts';

/** Milliseconds that one is kept without a request, and how many. */
const KEPT_MS = 10_000;
const MOST_KEPT = 3;
/** Requests after which another one takes its place, so that what it may gather has an end. */
const MOST_REQUESTS = 100;

interface Kept {
  readonly inspector: InspectorProcess;
  readonly requests: number;
  readonly timer: NodeJS.Timeout;
}

export class Inspectors implements Disposable {
  readonly #program: InspectorProgram;
  #kept: readonly Kept[] = [];
  #isDisposed = false;

  constructor(program: InspectorProgram) {
    this.#program = program;
  }

  /** As InspectorProcess answers. */
  async answer(
    request: InspectionRequest,
    finished: Promise<void>,
    out: Writable,
    signal: AbortSignal,
  ): Promise<void> {
    const { inspector, requests } = this.#take() ?? {
      inspector: await InspectorProcess.start(this.#program),
      requests: 0,
    };
    try {
      await inspector.answer(request, finished, out, signal);
    } finally {
      this.#keep(inspector, requests + 1);
    }
  }

  /** The one that has answered last. */
  #take(): Kept | undefined {
    const usable = this.#kept.filter(({ inspector }) => inspector.isUsable);
    const taken = usable.at(-1);
    clearTimeout(taken?.timer);
    this.#kept = usable.filter(one => one !== taken);
    return taken;
  }

  #keep(inspector: InspectorProcess, requests: number): void {
    if (!inspector.isUsable) return;
    if (this.#isDisposed || requests >= MOST_REQUESTS || this.#kept.length >= MOST_KEPT)
      return inspector.end();
    const timer = setTimeout(() => {
      this.#kept = this.#kept.filter(one => one.inspector !== inspector);
      inspector.end();
    }, KEPT_MS);
    timer.unref();
    this.#kept = [...this.#kept, { inspector, requests, timer }];
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const { inspector, timer } of this.#kept) {
      clearTimeout(timer);
      inspector.end();
    }
    this.#kept = [];
  }
}
