/**
 * Answers as JSON. Small ones are made here; a large one would stop all requests for as long as it takes, so another
 * thread makes it. What waits for slow readers is bounded, as is each answer.
 *
 * The thread is started when there is something to do for the first time.
 */
import { Worker } from 'node:worker_threads';
import type { DescMessage } from '@bufbuild/protobuf';
import { answerTooLarge, RpcError } from '../errors.ts';
import { bytesOf } from '../mvcc/encoding.ts';
import { jsonOf } from './json.ts';

/** Bytes of an answer, as gRPC would send it, up to which it is made in this thread: a few milliseconds. */
const SMALL_BYTES = 32 * 1024;
/** Bytes of large answers that may be in the making or wait for their readers, together. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** What the thread is asked; it answers with the same `id` and the JSON. */
export interface Task {
  readonly id: number;
  /** Name of the message. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

export class Renderer implements AsyncDisposable {
  readonly #maxBytes: number;
  readonly #tasks = new Map<number, PromiseWithResolvers<Uint8Array>>();
  #worker: Worker | undefined;
  #lastId = 0;
  #waiting = 0;

  /** @param maxBytes bytes of the largest answer. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * @param over aborted when the answer is sent, or its client is gone.
   * @throws RpcError for an answer that is too large, or when too many wait already.
   */
  async render(schema: DescMessage, answer: object, over: AbortSignal): Promise<string | Uint8Array> {
    const bytes = bytesOf(schema, answer);
    const size = bytes.byteLength;
    if (size > this.#maxBytes) throw answerTooLarge(this.#maxBytes);
    if (over.aborted) return '';
    if (size <= SMALL_BYTES) return jsonOf(schema, bytes);
    if (this.#waiting + size > MAX_WAITING_BYTES) {
      throw new RpcError('RESOURCE_EXHAUSTED', 'too many large answers wait for their readers');
    }
    this.#waiting += size;
    over.addEventListener('abort', () => (this.#waiting -= size), { once: true });
    return this.#inThread(schema.typeName, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  #inThread(type: string, bytes: Uint8Array): Promise<Uint8Array> {
    this.#worker ??= this.#start();
    const task = Promise.withResolvers<Uint8Array>();
    const id = ++this.#lastId;
    this.#tasks.set(id, task);
    this.#worker.postMessage({ id, type, bytes } satisfies Task);
    return task.promise;
  }

  #start(): Worker {
    // From the source, or from what `npm run build` made of it.
    const file = import.meta.url.endsWith('.ts') ? './renderer-worker.ts' : './renderer-worker.js';
    const worker = new Worker(new URL(file, import.meta.url));
    worker.unref();
    worker.on('message', ({ id, json }: { readonly id: number; readonly json: Uint8Array }) => {
      this.#tasks.get(id)?.resolve(json);
      this.#tasks.delete(id);
    });
    worker.on('error', error => {
      this.#worker = undefined;
      for (const { reject } of this.#tasks.values()) reject(error);
      this.#tasks.clear();
    });
    return worker;
  }
}
