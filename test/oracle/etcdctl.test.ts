/**
 * etcdctl 3.4 against our store and against etcd: the same output, but for ids, sizes and times, and the same exit
 * status. The table in docs/reference/store-etcdctl.md is made of what happened here: `TULLE_WRITE_DOCS=1` writes
 * it, and every other run compares.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';
import { etcdctl } from '../support/store-server.ts';
import { CASES, type Case } from './etcdctl-cases.ts';
import { startPair } from './pair.ts';

const PAGE = join(import.meta.dirname, '../../docs/reference/store-etcdctl.md');
const FULL = process.env['TULLE_ORACLE_RUNS'] !== undefined;
const WRITE = process.env['TULLE_WRITE_DOCS'] === '1';
/** Longer than the slowest command, `check perf`. */
const LIMIT_MS = 120_000;

interface ActivePlan {
  /** As a shell shows it: a signal counts 128 and its number. */
  readonly status: number | 'PASS or FAIL';
  readonly output: string;
}

/** One store, as etcdctl sees it. */
class Terminal {
  readonly #url: string;
  readonly #places: Readonly<Record<string, string>>;
  #history = '';

  constructor(url: string, places: Readonly<Record<string, string>>) {
    this.#url = url;
    this.#places = places;
  }

  async run(one: Case): Promise<ActivePlan> {
    const values = { ...this.#places };
    for (const [name, pattern] of Object.entries(one.from ?? {}))
      values[name] = lastMatch(this.#history, pattern);
    const args = one.args.map(arg => replaceAll(arg, values));
    // Without a scheme: of a URL, etcdctl 3.4 makes an :authority that HTTP/2 does not allow (docs/reference/store-etcdctl.md).
    const endpoint = this.#url.replace('http://', '');
    if (one.meanwhile !== undefined) await this.#untilWatches(0);
    const limits = ['--command-timeout=60s', '--dial-timeout=60s', '--keepalive-timeout=60s'];
    const child = spawn('etcdctl', [`--endpoints=${endpoint}`, ...limits, ...args], {
      env: { PATH: process.env['PATH'], ETCDCTL_API: '3' },
      // Nothing may outlive the test, whatever happens.
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    // Apart, because their order among each other is chance.
    const printed = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (chunk: Buffer) => (printed[name] += chunk.toString()));
    const all = () => printed.stdout + printed.stderr;
    // A command may end without reading all of its input.
    child.stdin.on('error', () => undefined).write(one.input ?? '');
    // An interactive watch ends with its input.
    if (one.lines === undefined) child.stdin.end();
    const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    if (one.lines !== undefined) {
      await this.#untilDone(one, values, child, all);
      child.kill('SIGINT');
    }
    const [status] = await ended;
    this.#history += all();
    return { status: status ?? 130, output: normalize(all(), values, this.#url) };
  }

  /** Waits until a command that does not end by itself has said and done all that it will, or has ended. */
  async #untilDone(
    { args, lines = 0, meanwhile, brings }: Case,
    { $OTHER = '' }: Readonly<Record<string, string>>,
    child: ChildProcess,
    output: () => string,
  ): Promise<void> {
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    const command = `etcdctl ${args.join(' ')}`;
    if (meanwhile !== undefined) {
      // A command does not say when its watch is set up; the store does.
      await this.#untilWatches(1);
      await this.run({ args: meanwhile });
    }
    await eventually(
      `${command} prints ${lines} lines`,
      async () => hasEnded() || output().split('\n').length > lines,
    );
    if (brings !== undefined)
      await eventually(
        `${command} brings ${brings}`,
        async () => hasEnded() || (await etcdctl($OTHER, ['get', '--keys-only', brings])).includes(brings),
      );
  }

  /** The store has so many watches: that of a command that was interrupted is gone a moment later. */
  async #untilWatches(wanted: number): Promise<void> {
    await eventually(`the store has ${wanted} watches`, async () => {
      const page = await (await fetch(`${this.#url}/metrics`)).text();
      return /^etcd_debugging_mvcc_watcher_total (\d+)$/m.exec(page)?.[1] === `${wanted}`;
    });
  }
}

function lastMatch(text: string, pattern: RegExp): string {
  return [...text.matchAll(new RegExp(pattern, 'g'))].at(-1)?.[1] ?? 'nothing';
}

function replaceAll(text: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((result, [name, value]) => result.replaceAll(name, value), text);
}

/** What may differ between two members and two runs: ids, addresses, sizes, times. */
function normalize(output: string, places: Readonly<Record<string, string>>, url: string): string {
  const hidden = Object.entries(places).reduce((text, [name, value]) => text.replaceAll(value, name), output);
  return (
    hidden
      .replaceAll(url, 'URL')
      .replaceAll(url.replace('http://', ''), 'ADDRESS')
      .split('\n')
      // A progress bar, which is drawn over itself.
      .map(line => line.slice(line.lastIndexOf('\r') + 1).replace(/^.*\d%( \d+m?\d*s?)?(?=$|PASS|FAIL)/, ''))
      .filter(line => line !== '' && !line.startsWith('{"level"'))
      .join('\n')
      .replace(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":N')
      .replace(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : N')
      // 64 random bits in hexadecimal, without leading zeros: one in 256 has only 14 digits.
      .replace(/\b[0-9a-f]{12,16}\b/g, 'ID')
      .replace(/remaining\(\d+s\)/g, 'remaining(Ns)')
      .replace(/\d+(\.\d+)?(µs|ms|s)\b/g, 'TIME')
      .trim()
  );
}

/** Words become `x` and numbers `9`: a table, a list of fields. */
const shape = (text: string) =>
  text
    .replace(/[\w.:/-]*\d[\w.:/-]*( [kKMG]?B)?/g, '9')
    .replace(/[-+]{3,}/g, '---')
    // A store without peers has no peer URLs.
    .replaceAll(', ,', ', 9,')
    .replace(/ +/g, ' ');

const same = (outcome: ActivePlan): ActivePlan => outcome;

/** `check perf` judges the machine, and that may be busy: that there is a judgement counts. */
const verdict = ({ output }: ActivePlan): ActivePlan => ({
  status: 'PASS or FAIL',
  output: output.replace(/^(PASS|FAIL).*$/gm, 'verdict'),
});

test('etcdctl sees no difference', { ...needsEtcd, timeout: 600_000 }, async () => {
  await using pair = await startPair();
  await using ourMirror = await Etcd.start();
  await using theirMirror = await Etcd.start();
  const directory = await mkdtemp(join(tmpdir(), 'tulle-etcdctl-'));
  try {
    const places = (name: string, { port }: Etcd) => ({
      $OTHER: `127.0.0.1:${port}`,
      $FILE: join(directory, name),
    });
    const ours = new Terminal(pair.tulle.url, places('ours', ourMirror));
    const theirs = new Terminal(pair.etcd.url, places('theirs', theirMirror));
    const rows: string[] = [];
    for (const one of CASES) {
      if (one.slow === true && !FULL) continue;
      const [got, want] = (await Promise.all([ours.run(one), theirs.run(one)])).map(
        one.slow === true ? verdict : same,
      );
      if (got === undefined || want === undefined) continue;
      const line = one.args.join(' ');
      assert.equal(got.status, want.status, `exit status of etcdctl ${line}: ${got.output} / ${want.output}`);
      const [a, b] = one.loose === true ? [shape(got.output), shape(want.output)] : [got.output, want.output];
      assert.equal(a, b, `output of etcdctl ${line}`);
      rows.push(row(one, want));
    }
    await compareWithPage(rows);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

function row({ args, loose, slow }: Case, { status, output }: ActivePlan): string {
  const first =
    loose === true || slow === true ? '' : (output.split('\n').find(line => line.trim() !== '') ?? '');
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('`', "'");
  const quoted = args.map(arg => (arg === '' || arg.includes(' ') ? `'${arg}'` : arg)).join(' ');
  const shown = first === '' ? '' : ` \`${cell(first.slice(0, 70))}\` `;
  return `| \`etcdctl ${cell(quoted)}\` | ${status} |${shown === '' ? ' ' : shown}|`;
}

const HEAD = `# etcdctl against \`tulle store\`

<!-- Made by test/oracle/etcdctl.test.ts (TULLE_WRITE_DOCS=1); edit that instead. -->

Each line was run with etcdctl 3.4 against \`tulle store\` and against etcd 3.4, in this order. Output and exit status
were the same, but for ids, sizes and times. Shown is the first line of the output (none where it is only numbers).

The endpoint is given as \`--endpoints=HOST:PORT\`, without a scheme. etcdctl 3.4 makes an \`:authority\` of a whole
\`http://HOST:PORT\`, which HTTP/2 does not allow, in three commands: \`endpoint status\`, \`endpoint hashkv\` and
\`defrag\`. The store resets those requests (\`PROTOCOL_ERROR\`). etcdctl 3.5 and later take either form, and so does
every other command of 3.4.

| command | exit | first line |
| --- | --- | --- |
`;

async function compareWithPage(rows: readonly string[]): Promise<void> {
  const page = `${HEAD}${rows.join('\n')}\n`;
  if (WRITE) return writeFile(PAGE, page);
  const known = await readFile(PAGE, 'utf8');
  if (FULL) assert.equal(page, known);
  else for (const line of rows) assert.ok(known.includes(line), `${PAGE} lacks: ${line}`);
}
