import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { silentLogger } from '../../src/base/log.ts';
import { DockerError } from '../../src/docker/docker-api.ts';
import type { DockerEndpoints, DockerEvent, DockerNetworkState } from '../../src/docker/docker-messages.ts';
import type { OwnedWarning } from '../../src/network/reports.ts';
import { DockerPlugin } from '../../src/plugin/docker/docker-plugin.ts';
import { AsyncQueue } from '../../src/testing/async-queue.ts';
import { FakeAttachments } from '../../src/testing/network/fake-attachments.ts';
import { type CallResult, type PlayOptions, playOrder, type RecordedCall } from './docker-orders.ts';

/** Milliseconds for a test. */
export const DEADLINE = { timeout: 60_000 };

/** A dockerd of which the test says what it has and what happens. */
export class FakeDaemon {
  readonly present: DockerNetworkState[] = [];
  readonly containers = new Map<string, DockerEndpoints>();
  #events = new AsyncQueue<DockerEvent>();
  isUp = true;

  async networks() {
    this.#up();
    return this.present;
  }

  async network(id: string) {
    this.#up();
    return this.present.find(({ Id }) => Id === id) ?? assert.fail(id);
  }

  async endpoints(id: string) {
    this.#up();
    const found = this.containers.get(id);
    if (found === undefined) throw new DockerError('NOT_FOUND', 'dockerd: No such container');
    return found;
  }

  async *events(signal: AbortSignal) {
    this.#up();
    yield* this.#events.consume(signal);
  }

  tell(Type: string, Action: string, ID: string, Attributes: Record<string, string> = {}) {
    this.#events.push({ Type, Action, Actor: { ID, Attributes } });
  }

  #up() {
    if (!this.isUp) throw new DockerError('NO_DOCKER', 'no dockerd answers');
  }
}

/** Names of the networks in the recordings, by the first digits of their ids. */
const NAMES: Readonly<Record<string, string>> = {
  '331e': 'blue',
  b31c: 'red',
  cade: 'six',
  '33c2': 'green',
  bb93: 'inner',
};

/** @param settling as of the plugin; a dockerd under test may still be at work when that is over */
export async function pluginHost(t: TestContext, settling?: number) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-plugin-'));
  const path = join(directory, 'plugins', 'tulle.sock');
  const attachments = new FakeAttachments();
  const daemon = new FakeDaemon();
  let warnings: readonly OwnedWarning[] = [];
  const start = async (settling?: number) => {
    const stop = new AbortController();
    let listening: () => void;
    const ready = new Promise<void>(resolve => (listening = resolve));
    const logger = {
      ...silentLogger,
      info: (_: object, text: string) => text.includes('is there') && listening(),
    };
    const plugin = await DockerPlugin.open({
      attachments,
      docker: daemon,
      notRedirected: { set: () => undefined },
      stateDirectory: directory,
      path,
      whenDockerIs: false,
      passed: undefined,
      ...(settling !== undefined && { settling, retryAfter: settling }),
      resolver: Ip.parse('169.254.53.53'),
      health: { warn: (_, given) => (warnings = given) },
      clock: systemClock,
      logger,
    });
    const running = plugin.run(stop.signal);
    await Promise.race([ready, running]);
    return async () => {
      stop.abort();
      await running;
    };
  };
  let stop = await start(settling);
  t.after(async () => {
    await stop();
    rmSync(directory, { recursive: true });
  });
  const tellName = ({ uri, body, status }: CallResult) => {
    const { NetworkID: id = '' } = (body ?? {}) as { readonly NetworkID?: string };
    const name = NAMES[id.slice(0, 4)];
    if (uri.endsWith('.CreateNetwork') && status === 200 && name !== undefined) {
      daemon.tell('network', 'create', id, { name, type: 'tulle' });
    }
  };
  return {
    path,
    attachments,
    daemon,
    codes: () => warnings.map(({ code }) => code),
    warnings: () => warnings,
    restart: async (settlingThen = settling) => {
      await stop();
      stop = await start(settlingThen);
    },
    play: (order: readonly RecordedCall[], options: PlayOptions = {}) =>
      playOrder(path, order, {
        ...options,
        after: async result => {
          tellName(result);
          await options.after?.(result);
        },
      }),
  };
}

export const answersTo = (results: readonly CallResult[], uri: string) =>
  results.filter(result => result.uri.endsWith(uri)).map(({ answer }) => answer);

export const assertAllWell = (results: readonly CallResult[]) =>
  assert.deepEqual(
    results.filter(({ status }) => status !== 200),
    [],
  );
