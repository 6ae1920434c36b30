/**
 * etcdctl 3.4 against our store and against etcd: the same output, but for ids, sizes and times, and the same exit
 * status. The table in docs/reference/store-etcdctl.md is made of what happened here: `TULLE_WRITE_DOCS=1` writes
 * it, and every other run compares.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { CASES, type Case } from './etcdctl-cases.ts';
import { startPair } from './pair.ts';

const PAGE = join(import.meta.dirname, '../../docs/reference/store-etcdctl.md');
const FULL = process.env['TULLE_ORACLE_RUNS'] !== undefined;
const WRITE = process.env['TULLE_WRITE_DOCS'] === '1';
/** How long a command that runs until it is interrupted may take to print what is expected. */
const PATIENCE_MS = 10_000;
/** Longer than the slowest command, `check perf`. */
const LIMIT_MS = 120_000;
/** Etcdctl says nothing when a watch is set up, so what happens meanwhile is repeated until it is seen. */
const REPEAT_MS = 300;

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
    const child = spawn('etcdctl', [`--endpoints=${endpoint}`, '--command-timeout=20s', ...args], {
      env: { PATH: process.env['PATH'], ETCDCTL_API: '3' },
      // Nothing may outlive the test, whatever happens.
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    // Apart, because their order among each other is chance.
    const printed = { stdout: '', stderr: '' };
    const more = new EventTarget();
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        printed[name] += chunk.toString();
        more.dispatchEvent(new Event('output'));
      });
    }
    const all = () => printed.stdout + printed.stderr;
    // A command may end without reading all of its input.
    child.stdin.on('error', () => undefined).write(one.input ?? '');
    // An interactive watch ends with its input.
    if (one.lines === undefined) child.stdin.end();
    const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    if (one.lines !== undefined) await this.#untilPrinted(one, all, more, ended, () => child.kill('SIGINT'));
    const [status] = await ended;
    // What was repeated before it was seen shows again behind the lines that are wanted.
    const shown = one.meanwhile === undefined ? all() : all().split('\n').slice(0, one.lines).join('\n');
    this.#history += shown;
    return { status: status ?? 130, output: normalize(shown, values, this.#url) };
  }

  async #untilPrinted(
    one: Case,
    output: () => string,
    more: EventTarget,
    ended: Promise<unknown>,
    interrupt: () => void,
  ): Promise<void> {
    const enough = () => output().trimEnd().split('\n').length >= (one.lines ?? 0);
    const deadline = Date.now() + PATIENCE_MS;
    const done = new AbortController();
    void ended.then(() => done.abort());
    let disturbed = one.meanwhile === undefined;
    while (Date.now() < deadline && !done.signal.aborted && !(disturbed && enough())) {
      await Promise.race([
        new Promise(resolve => more.addEventListener('output', resolve, { once: true })),
        new Promise(resolve => setTimeout(resolve, REPEAT_MS)),
        ended,
      ]);
      if (!enough() || !disturbed) for (const args of one.meanwhile ?? []) await this.run({ args });
      disturbed = true;
    }
    interrupt();
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

/** `make-mirror` writes into a store of its own; whether it did is asked there. */
test('etcdctl sees no difference', { ...needsEtcd, timeout: 600_000 }, async () => {
  await using pair = await startPair();
  await using other = await Etcd.start();
  const directory = await mkdtemp(join(tmpdir(), 'tulle-etcdctl-'));
  try {
    const places = (name: string) => ({
      $OTHER: `127.0.0.1:${other.port}`,
      $FILE: join(directory, name),
    });
    const ours = new Terminal(pair.tulle.url, places('ours'));
    const theirs = new Terminal(pair.etcd.url, places('theirs'));
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
      if (one.args[0] === 'make-mirror') assert.match(await other.ctl('get', 'mirrored/1'), /x/);
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
