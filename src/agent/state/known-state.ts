/**
 * What the last run knew, on this host's disk: the network's configuration and all leases as the store had them,
 * and the devices that were made. An agent that is started while the store is away comes up with it and keeps
 * forwarding; one whose configuration has changed meanwhile removes the devices of the old one.
 *
 *     <state-dir>/known-<tag>.json   one JSON object, a line for each key; values in base64, as not all are text
 *
 * The file is a copy and never an authority: it is read once, at the start, through the same decoders as the
 * store's own answers, and the first answer of the store replaces it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { Watchable } from '../../base/watchable.ts';
import { networkTag } from '../../console/defaults.ts';
import type { LastRun } from '../../network/network-parts.ts';
import type { ConditionFailure } from '../../network/reports.ts';
import type { KeyValue } from '../../store/store.ts';
import type { NetworkConfig } from '../../subnet/config/config.ts';
import { readConfig } from '../../subnet/config/config-watch.ts';
import type { Subnet } from '../../subnet/lease/lease.ts';
import { removeUnfinished, writeFileAtomic } from '../../sys/file.ts';

/**
 * Milliseconds in which further changes are gathered before the file is written. An agent that is killed meanwhile
 * leaves an older file behind; what it must not forget is saved before it acts on it (`save`).
 */
const SETTLE = 1_000;
/** How the file ends. */
const END = ']}\n';
/** Characters that are written at once. */
const PIECE = 1 << 15;
/** A large file, or a slow disk, is written less often: so many times longer than the last time took. */
const REST = 20;
/**
 * But not less often than this, in milliseconds. A write of a few hundred bytes takes seconds where the processors have
 * more to do than they can, and an agent that is killed then must not leave a file behind that is a minute old.
 */
const LONGEST_REST = 10_000;

const decimal = v.pipe(
  v.string(),
  v.regex(/^\d{1,20}$/),
  v.transform(text => BigInt(text)),
);

const StoredKey = v.object({
  key: v.string(),
  value: v.string(),
  create: decimal,
  mod: decimal,
  version: decimal,
  lease: decimal,
});

const Heading = v.object({
  version: v.literal(1),
  devices: v.array(v.string()),
  /** Absent in files of before it was kept. */
  config: v.optional(v.string()),
  leaving: v.optional(v.string()),
});

export interface KnownState {
  /** The configuration and every lease, as the store had them. */
  readonly keys: Iterable<KeyValue>;
  /** Names of the network devices that were in use. */
  readonly devices: readonly string[];
  /** The configuration that was in use, which need not be the one in the store. */
  readonly config?: Uint8Array;
  /** The one before, while peers had not followed yet. */
  readonly leaving?: Uint8Array;
}

export type WriteTime = 'soon' | 'at once';

/** Where what commands of the configuration have made is remembered (src/extension/command-record.ts). */
export function commandRecordFile(directory: string, network: string): string {
  return join(directory, `commands-${networkTag(network)}.json`);
}

/** What a text of a known state says; undefined when there is none, or it makes no sense any more. */
export function formerConfigOf(text: Uint8Array | undefined): NetworkConfig | undefined {
  const reading = text && readConfig(text);
  return reading?.state === 'valid' ? reading.config : undefined;
}

/** @param subnet that of the last run */
export function lastRunOf({ config, leaving, devices }: KnownState, subnet: Subnet | undefined): LastRun {
  const texts = new Map<NetworkConfig, Uint8Array>();
  const read = (text: Uint8Array | undefined) => {
    const former = formerConfigOf(text);
    if (former !== undefined && text !== undefined) texts.set(former, text);
    return former;
  };
  return { subnet, config: read(config), leaving: read(leaving), texts, devices };
}

export class KnownStateFile {
  readonly #path: string;
  readonly #clock: Clock;
  #lastTook = 0;
  readonly #wanted = new Watchable<(() => KnownState) | undefined>(undefined);
  /** One write after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  readonly failure = new Watchable<ConditionFailure | undefined>(undefined);

  /** @param network what the state belongs to: the store's prefix. */
  constructor(directory: string, network: string, clock: Clock) {
    // One host may run several agents on one state directory, one per network.
    this.#path = join(directory, `known-${networkTag(network)}.json`);
    this.#clock = clock;
  }

  /** What there is; undefined when there is no file, or a damaged one. */
  async load(): Promise<KnownState | undefined> {
    await removeUnfinished(this.#path);
    try {
      return parse(await readFile(this.#path, 'utf8'));
    } catch {
      return undefined;
    }
  }

  /**
   * States that something changed; `read` is called when the time to write has come.
   * @param when that what changes rarely is written `at once` does not wait for what changes often. Should it fail, it is
   *   tried again, and reported, as what is written soon.
   */
  changed(read: () => KnownState, when: WriteTime = 'soon'): void {
    this.#wanted.set(read);
    if (when === 'at once') this.save().catch(() => undefined);
  }

  /** Writes the newest state now. @throws SysError; `run` tries again */
  async save(): Promise<void> {
    await this.#write();
  }

  /** Writes soon after every change, and tries again after a failure; ends when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const read of this.#wanted.changes(signal)) {
      if (read === undefined) continue;
      const settle = Math.min(LONGEST_REST, Math.max(SETTLE, REST * this.#lastTook));
      await this.#clock.sleep(settle, signal).catch(() => undefined);
      await this.#writeUntilDone(signal);
    }
  }

  async #writeUntilDone(signal: AbortSignal): Promise<void> {
    for (const delay of backoff(5000, 300_000)) {
      try {
        await this.#write();
        this.failure.set(undefined);
        return;
      } catch (error) {
        this.failure.set({
          code: 'STATE_NOT_SAVED',
          reason: `the last known peers could not be saved: ${messageOf(error)}`,
          hint: 'an agent that is restarted without the store starts with older ones',
        });
        if (signal.aborted) return;
        await this.#clock.sleep(delay, signal).catch(() => undefined);
      }
    }
  }

  /** The newest state, not one that could not be written before. */
  #write(): Promise<void> {
    const options = { mode: 0o600, directoryMode: 0o700 };
    const written = this.#queue.then(async () => {
      const read = this.#wanted.value;
      if (read === undefined) return;
      const started = this.#clock.monotonic();
      await writeFileAtomic(this.#path, inPieces(fileOf(read())), options);
      this.#lastTook = this.#clock.monotonic() - started;
    });
    this.#queue = written.catch(() => undefined);
    return written;
  }
}

/** @throws Error when it is not a whole file of ours. */
function parse(text: string): KnownState {
  const [heading = '', ...lines] = text.split('\n');
  if (lines.splice(-2).join('\n') !== END) throw new Error('the end of the file is missing');
  const { devices, config, leaving } = v.parse(Heading, JSON.parse(heading + END));
  return {
    keys: lines.map(parseKey),
    devices,
    ...(config === undefined ? {} : { config: Buffer.from(config, 'base64') }),
    ...(leaving === undefined ? {} : { leaving: Buffer.from(leaving, 'base64') }),
  };
}

function parseKey(line: string): KeyValue {
  const stored = v.parse(StoredKey, JSON.parse(line.endsWith(',') ? line.slice(0, -1) : line));
  const { key, value, create, mod, version, lease } = stored;
  return {
    key,
    value: Buffer.from(value, 'base64'),
    createRevision: create,
    modRevision: mod,
    version,
    lease,
  };
}

/** The file line by line: the text as a whole takes megabytes, and what it is made of as many more. */
function* fileOf({ keys, devices, config, leaving }: KnownState): Generator<string, void> {
  const texts = Object.entries({ config, leaving })
    .filter(([, text]) => text !== undefined)
    .map(([name, text = new Uint8Array()]) => `"${name}":"${Buffer.from(text).toString('base64')}",`);
  yield `{"version":1,"devices":${JSON.stringify(devices)},${texts.join('')}"keys":[`;
  let separator = '\n';
  for (const { key, value, createRevision, modRevision, version, lease } of keys) {
    const stored = {
      key,
      value: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'),
      create: String(createRevision),
      mod: String(modRevision),
      version: String(version),
      lease: String(lease),
    } satisfies v.InferInput<typeof StoredKey>;
    yield separator + JSON.stringify(stored);
    separator = ',\n';
  }
  yield `\n${END}`;
}

/** Puts short texts together, so that not each of them is written on its own. */
function* inPieces(lines: Iterable<string>): Generator<string, void> {
  let piece = '';
  for (const line of lines) {
    piece += line;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}
