/**
 * A dockerd that calls a plugin in a recorded order (test/vectors/docker-plugin). What the plugin answered when it was
 * recorded is replaced by what this one answers: ids of pools, gateways, addresses.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';

export interface RecordedCall {
  readonly uri: string;
  readonly body: unknown;
  /** Absent: it was refused. */
  readonly answer?: Readonly<Record<string, unknown>>;
}

export interface CallResult {
  readonly uri: string;
  readonly body: unknown;
  readonly status: number;
  readonly answer: Readonly<Record<string, unknown>>;
  readonly milliseconds: number;
}

export function recordedOrder(name: string): readonly RecordedCall[] {
  const path = new URL(`../vectors/docker-plugin/${name}.jsonl`, import.meta.url);
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as RecordedCall);
}

/** One call. @param body as it goes over the wire; undefined: none */
export function callPlugin(
  socketPath: string,
  uri: string,
  body?: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'plugin.moby.localhost', accept: 'application/vnd.docker.plugins.v1.2+json' };
    const sent = request({ socketPath, path: uri, method: 'POST', headers, agent: false }, response => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', piece => (text += piece));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export interface PlayOptions {
  /** Before each call; false leaves it out. */
  readonly before?: (call: RecordedCall) => boolean | void | Promise<boolean | void>;
  readonly after?: (result: CallResult) => void | Promise<void>;
}

/** Calls in this order, and returns all answers. */
export async function playOrder(
  socketPath: string,
  order: readonly RecordedCall[],
  { before, after }: PlayOptions = {},
): Promise<readonly CallResult[]> {
  const replaced = new Map<string, string>();
  const results: CallResult[] = [];
  for (const call of order) {
    if ((await before?.(call)) === false) continue;
    const body = call.body === null ? undefined : replaceTexts(call.body, replaced);
    const started = performance.now();
    const { status, text } = await callPlugin(
      socketPath,
      call.uri,
      body === undefined ? undefined : JSON.stringify(body),
    );
    const answer = JSON.parse(text) as Record<string, unknown>;
    const result = { uri: call.uri, body, status, answer, milliseconds: performance.now() - started };
    results.push(result);
    learn(call.answer, answer, replaced);
    await after?.(result);
  }
  return results;
}

function replaceTexts(value: unknown, replaced: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return replaced.get(value) ?? value;
  if (Array.isArray(value)) return value.map(each => replaceTexts(each, replaced));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, replaceTexts(each, replaced)]),
  );
}

const GATEWAY = 'com.docker.network.gateway';

function learn(
  was: Readonly<Record<string, unknown>> | undefined,
  is: Readonly<Record<string, unknown>>,
  replaced: Map<string, string>,
): void {
  const data = (answer: typeof is) => (answer['Data'] as Record<string, string> | undefined)?.[GATEWAY];
  const pairs = [
    [was?.['PoolID'], is['PoolID']],
    [was?.['Address'], is['Address']],
    [was && data(was), data(is)],
  ];
  for (const [before, now] of pairs) {
    if (typeof before !== 'string' || typeof now !== 'string') continue;
    replaced.set(before, now);
    if (before.includes('/')) replaced.set(before.split('/')[0] ?? '', now.split('/')[0] ?? '');
  }
}
