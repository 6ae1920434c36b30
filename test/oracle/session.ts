/** One member of the pair, being asked: answers as plain values without what may differ (ids, terms). */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type ClientDuplexStream, Metadata, type ServiceError } from '@grpc/grpc-js';
import { KV } from '../../src/store/wire/generated/kv_pb.ts';
import { Lease } from '../../src/store/wire/generated/lease_pb.ts';
import {
  Watch,
  type WatchRequestSchema,
  type WatchResponse,
} from '../../src/store/wire/generated/watch_pb.ts';
import { callUnary, openStream } from '../../src/store/wire/service.ts';
import type { Command } from './commands.ts';
import type { Member } from './pair.ts';

const DEADLINE_MS = 45_000;
const DROPPED = new Set(['$typeName', '$unknown', 'clusterId', 'memberId', 'raftTerm']);

/** Bytes as text, 64-bit numbers as text, ids of the member left out: what two members must agree on. */
export function plain(given: unknown): unknown {
  if (given instanceof Uint8Array) return `bytes:${Buffer.from(given).toString('latin1')}`;
  if (typeof given === 'bigint') return String(given);
  if (Array.isArray(given)) return given.map(plain);
  if (typeof given !== 'object' || given === null) return given;
  return Object.fromEntries(
    Object.entries(given)
      .filter(([name, item]) => !DROPPED.has(name) && item !== undefined)
      .map(([name, item]) => [name, plain(item)]),
  );
}

export class Session {
  readonly #member: Member;
  readonly #watch: ClientDuplexStream<MessageInitShape<typeof WatchRequestSchema>, WatchResponse>;
  /** What each watch has received, by id; the answers to requests under `answers`. */
  readonly #received = new Map<string, unknown[]>();
  #waiting: (() => void) | undefined;
  /** Answers to create and cancel requests. */
  #answers = 0;
  readonly #active = new Set<bigint>();
  #sentinels = 0;
  #pastWatches = 0;
  revision = 0n;

  constructor(member: Member) {
    this.#member = member;
    this.#watch = openStream(member.client, Watch.method.watch, new Metadata());
    this.#watch.on('data', (response: WatchResponse) => this.#onWatch(response));
    this.#watch.on('error', () => undefined);
  }

  close(): void {
    this.#watch.cancel();
  }

  /** Everything that the watches have received so far, in order per watch. */
  get received(): Record<string, unknown[]> {
    return Object.fromEntries([...this.#received].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Runs a command. @returns its answer or its refusal; for watch commands nothing, their answers are in `received`. */
  run(command: Command): Promise<unknown> {
    switch (command.do) {
      case 'put':
        return this.call(KV.method.put, command.request);
      case 'range':
        return this.call(KV.method.range, { ...command.request, revision: this.#at(command.back) });
      case 'delete':
        return this.call(KV.method.deleteRange, command.request);
      case 'txn':
        return this.call(KV.method.txn, command.request);
      case 'compact':
        return this.call(KV.method.compact, { revision: this.#at(command.back) });
      case 'grant':
        return this.call(Lease.method.leaseGrant, { ID: command.id, TTL: command.ttl });
      case 'revoke':
        return this.call(Lease.method.leaseRevoke, { ID: command.id });
      case 'timeToLive':
        return this.#timeToLive(command.id, command.keys);
      case 'keepAlive':
        return this.#keepAlive(command.id);
      case 'leases':
        return this.#leases();
      case 'watch': {
        const { back, request: wanted } = command;
        // etcd finds out some time later that a watch of the past cannot be; its id must not be used again.
        const watchId =
          back === undefined ? (wanted.watchId ?? 0n) : PAST_WATCH + BigInt(this.#pastWatches++);
        const request = { ...wanted, watchId, startRevision: this.#at(back) };
        return this.#ask({ requestUnion: { case: 'createRequest', value: request } });
      }
      case 'cancel':
        return this.#ask({ requestUnion: { case: 'cancelRequest', value: { watchId: command.id } } });
    }
  }

  /** @returns the answer, or `{ refused: [status, words] }`. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    metadata = new Metadata(),
  ): Promise<unknown> {
    try {
      const deadline = Date.now() + DEADLINE_MS;
      const answer = await callUnary(this.#member.client, method, request, metadata, { deadline });
      this.#see(answer);
      return plain(answer);
    } catch (error) {
      const { code, details } = error as ServiceError;
      return { refused: [code, details] };
    }
  }

  /** Waits until the stream has delivered every event so far: a watch of its own sees a mark. */
  async settle(): Promise<void> {
    const mark = Buffer.from('\x7fmark');
    const wanted = ++this.#sentinels;
    if (wanted === 1) {
      await this.#ask({
        requestUnion: { case: 'createRequest', value: { key: mark, watchId: MARK_WATCH } },
      });
    }
    await this.call(KV.method.put, { key: mark, value: Buffer.from(String(wanted)) });
    await this.#until(() => (this.#received.get(`watch ${MARK_WATCH}`)?.length ?? 0) >= wanted);
  }

  #see(answer: MessageShape<DescMessage>): void {
    const { header } = answer as { header?: { revision: bigint } };
    if (header !== undefined && header.revision > this.revision) this.revision = header.revision;
  }

  #at(back: number | undefined): bigint {
    return back === undefined ? 0n : this.revision - BigInt(back);
  }

  async #timeToLive(id: bigint, keys: boolean): Promise<unknown> {
    const answer = await this.call(Lease.method.leaseTimeToLive, { ID: id, keys });
    const seconds = Number((answer as { TTL?: string }).TTL);
    const sorted = [...((answer as { keys?: string[] }).keys ?? [])].sort();
    // The two are asked at slightly different times.
    return { ...(answer as object), keys: sorted, TTL: seconds > 10 ? 'some' : seconds };
  }

  async #leases(): Promise<unknown> {
    const answer = await this.call(Lease.method.leaseLeases, {});
    const { leases } = answer as { leases?: { ID: string }[] };
    return { ...(answer as object), leases: leases?.map(lease => lease.ID).sort() };
  }

  #keepAlive(id: bigint): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stream = openStream(this.#member.client, Lease.method.leaseKeepAlive, new Metadata(), {
        deadline: Date.now() + DEADLINE_MS,
      });
      stream.on('data', (answer: unknown) => {
        stream.end();
        resolve(plain(answer));
      });
      stream.on('error', reject);
      stream.write({ ID: id });
    });
  }

  /** Sends a watch request and waits for the answer: there is none to a cancel of a watch that does not exist. */
  async #ask(request: MessageInitShape<typeof WatchRequestSchema>): Promise<undefined> {
    const before = this.#answers;
    const { requestUnion: union } = request;
    const answered =
      union?.case === 'createRequest' ||
      (union?.case === 'cancelRequest' && this.#active.has(union.value.watchId ?? 0n));
    this.#watch.write(request);
    if (answered) await this.#until(() => this.#answers > before);
    return undefined;
  }

  async #until(condition: () => boolean): Promise<void> {
    const timer = setTimeout(() => this.#waiting?.(), DEADLINE_MS);
    const deadline = Date.now() + DEADLINE_MS;
    try {
      while (!condition()) {
        if (Date.now() >= deadline) throw new Error(`${this.#member.name}: the watch stream is silent`);
        await new Promise<void>(resolve => (this.#waiting = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #onWatch(response: WatchResponse): void {
    const { watchId, created, canceled, cancelReason, compactRevision, events } = response;
    if (created && !canceled) this.#active.add(watchId);
    else if (canceled) this.#active.delete(watchId);
    if (created || (canceled && compactRevision === 0n)) this.#answers++;
    const answer = { revision: response.header?.revision, watchId, created, canceled, cancelReason };
    if (compactRevision !== 0n) this.#record(`watch ${watchId}`, { ...answer, compactRevision });
    else if (created || canceled) this.#record('answers', answer);
    // How events are grouped into responses is the server's business; their order is not.
    for (const event of events) this.#record(`watch ${watchId}`, event);
    this.#waiting?.();
  }

  #record(to: string, what: unknown): void {
    const list = this.#received.get(to);
    if (list === undefined) this.#received.set(to, [plain(what)]);
    else list.push(plain(what));
  }
}

const MARK_WATCH = 9999n;
const PAST_WATCH = 100n;
