/**
 * Runs the tests: all of them, or those of the kinds or files that are named.
 *
 *     npm test
 *     npm test -- unit
 *     npm test -- test/e2e/switch.test.ts
 *
 * One line per file as it ends, failures in full when they happen and in short at the end, and a last line with
 * the counts. What this machine cannot do is skipped with the reason; with CI=true a skipped test is a failure,
 * because there a skipped test would go unnoticed.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { inspect, styleText } from 'node:util';
import { causesOf, failureInShort } from './failure-in-short.ts';
import { FAST_PATH_OFF, filesOfBothWays } from './fast-path-off.ts';
import { idleMeter, type Job, runQueue } from './test-queue.ts';

const ROOT = join(import.meta.dirname, '..');
const CI = process.env['CI'] === 'true';

interface Kind {
  readonly name: string;
  /** What is said of its files beside their names. */
  readonly note?: string;
  /** Globs. */
  readonly files: readonly string[];
  /** Those with a lower number begin before the others: the quick ones, the tests of hosts, and those that have run already. */
  readonly turn: 1 | 2 | 3;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** A file of it needs all processors. */
  readonly isAlone?: true;
  /** Milliseconds that one test may take, and one file. A test that waits for ever fails by its name. */
  readonly testTimeout: number;
  readonly timeout: number;
  /** Runs only when it is named. */
  readonly onRequest?: true;
}

const GRACE_MS = 10_000;
/** USER_HZ of Linux on every architecture that Node.js runs on. */
const TICKS_PER_SECOND = 100;

const SLOW = { testTimeout: 240_000, timeout: 1_500_000 } as const;

const KINDS: readonly Kind[] = [
  {
    name: 'unit',
    files: ['{src,scripts,test/support}/**/*.test.ts'],
    turn: 1,
    testTimeout: 180_000,
    timeout: 600_000,
  },
  {
    name: 'durability',
    files: ['test/durability/**/*.test.ts'],
    turn: 1,
    isAlone: true,
    ...SLOW,
  },
  { name: 'e2e', files: ['test/e2e/**/*.test.ts'], turn: 2, ...SLOW },
  { name: 'integration', files: ['test/integration/**/*.test.ts'], turn: 2, ...SLOW },
  { name: 'oracle', files: ['test/oracle/**/*.test.ts'], turn: 2, ...SLOW },
  { name: 'faults', files: ['test/faults/*.test.ts'], turn: 2, ...SLOW },
  {
    name: 'fast-path-off',
    note: 'with the fast path off',
    files: filesOfBothWays(),
    turn: 3,
    env: FAST_PATH_OFF,
    ...SLOW,
  },
  // Silence is noticed by timers of many seconds.
  { name: 'slow-faults', files: ['test/faults/slow/*.test.ts'], turn: 2, ...SLOW, onRequest: true },
];

/**
 * Files of minutes, the longest first: begun last, one of them would run alone in the end. So would one of the second run with
 * the fast path off, which for these begins before the first run of the short ones.
 */
const LONGEST = [
  'test/e2e/faults.test.ts',
  'test/e2e/scenarios.test.ts',
  'test/e2e/switch.test.ts',
  'test/e2e/backend-matrix.test.ts',
  'test/integration/mesh.test.ts',
  'test/e2e/check.test.ts',
  'test/e2e/trace.test.ts',
  'test/e2e/auto.test.ts',
];

interface Totals {
  passed: number;
  /** What a log of CI keeps, which is the end of all that is said. */
  readonly failed: { readonly name: string; readonly why: string }[];
  readonly skipped: string[];
}

const totals: Totals = { passed: 0, failed: [], skipped: [] };
const started = performance.now();

// Stripped types and compiled code are kept, as bin/tulle does: half of the processor time of a short test is loading.
process.env['NODE_COMPILE_CACHE'] ??= join(ROOT, 'node_modules', '.cache', 'tulle');

// `run` starts a process for each file, and has no other way to say which program that is.
const TEST_NODE = process.execPath;
process.execPath = join(import.meta.dirname, 'in-own-network');

const idleShare = idleMeter();
const jobs = jobsOf(chosen(process.argv.slice(2)));
say(styleText('bold', `${jobs.length} ${jobs.length === 1 ? 'file' : 'files'}`));
await runQueue(jobs);

say('');
for (const name of totals.skipped) say(`${styleText('yellow', 'skipped')} ${name}`);
for (const { name, why } of totals.failed) say(`${styleText('red', 'failed')}  ${name}\n${indent(why)}`);
const failedSkips = CI ? totals.skipped.length : 0;
if (failedSkips > 0) say('CI=true: a skipped test counts as failed');
say(`processors were busy for ${Math.round(100 * (1 - idleShare()))} % of the time`);
say(
  `${totals.passed} passed, ${totals.failed.length + failedSkips} failed, ${totals.skipped.length} skipped ` +
    `in ${seconds(performance.now() - started)}`,
);
process.exitCode = totals.failed.length + failedSkips > 0 || totals.passed === 0 ? 1 : 0;

function chosen(words: readonly string[]): readonly Kind[] {
  if (words.length === 0) return KINDS.filter(({ onRequest }) => onRequest !== true);
  return words.map(word => {
    const kind = KINDS.find(({ name }) => name === word);
    if (kind !== undefined) return kind;
    if (existsSync(join(ROOT, word))) return { name: word, files: [word], turn: 2, ...SLOW };
    say(`test: error: ${word} is neither a file nor one of ${KINDS.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  });
}

/** In one row, so that nothing waits for the last file of a kind; what begins last is short. */
function jobsOf(kinds: readonly Kind[]): readonly Job[] {
  return kinds
    .flatMap(kind =>
      globSync([...kind.files], { cwd: ROOT })
        .sort()
        .map(file => ({ kind, file })),
    )
    .toSorted((one, other) => turnOf(one) - turnOf(other) || lengthRank(one.file) - lengthRank(other.file))
    .map(({ kind, file }) => ({ isAlone: kind.isAlone === true, run: () => runFile(kind, file) }));
}

/** 1 for the quick ones, 2 and 3 for the two runs of the long ones, 4 and 5 for those of all others. */
function turnOf({ kind: { turn }, file }: { readonly kind: Kind; readonly file: string }): number {
  return turn === 1 || LONGEST.includes(file) ? turn : turn + 2;
}

function lengthRank(file: string): number {
  const at = LONGEST.indexOf(file);
  return at < 0 ? LONGEST.length : at;
}

async function runFile(kind: Kind, file: string): Promise<void> {
  const note = kind.note === undefined ? '' : ` (${kind.note})`;
  let output = '';
  const stream = run({
    files: [join(ROOT, file)],
    cwd: ROOT,
    timeout: kind.timeout,
    execArgv: [`--test-timeout=${kind.testTimeout}`],
    env: { ...process.env, ...kind.env, TEST_NODE },
  });
  // A file may hold its process open after its last test, and not even heed the signal that its timeout sends.
  const watchdog = setTimeout(() => endOverdue(file, kind.timeout), kind.timeout + GRACE_MS);
  for await (const { type, data } of stream) {
    switch (type) {
      case 'test:pass':
        if (data.skip !== undefined)
          totals.skipped.push(`${file}: ${data.name}${note} (${data.skip || 'no reason given'})`);
        else if (data.details.type !== 'suite') totals.passed++;
        break;
      case 'test:fail':
        reportFailure(`${file}: ${data.name}${note}`, data.details.error, output);
        break;
      case 'test:stderr':
      case 'test:stdout':
        output = `${output}${data.message}`.slice(-8000);
        break;
      case 'test:summary':
        if ('file' in data && data.file !== undefined) {
          const { passed, failed, cancelled } = data.counts;
          const bad = failed + cancelled;
          const mark = bad === 0 ? styleText('green', '✓') : styleText('red', '✗');
          say(
            `  ${mark} ${file}${note}  ${passed} passed${bad === 0 ? '' : `, ${bad} failed`}  ${seconds(data.duration_ms)}`,
          );
        }
        break;
    }
  }
  clearTimeout(watchdog);
}

/** Ends the process of a test file that has run for longer. @param age milliseconds */
function endOverdue(file: string, age: number): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
  for (const child of children.filter(text => text !== '')) {
    if (!readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0').includes(join(ROOT, file))) continue;
    // Field 22, counted from the end of the name in parentheses, in ticks since boot (proc_pid_stat(5)).
    const stat = readFileSync(`/proc/${child}/stat`, 'utf8');
    const started = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / TICKS_PER_SECOND;
    if ((uptime() - started) * 1000 > age) process.kill(Number(child), 'SIGKILL');
  }
}

function reportFailure(name: string, error: Error & { failureType?: string }, said: string): void {
  // A suite fails because a test in it did, which has been reported already.
  if (error.failureType === 'subtestsFailed') return;
  const { cause = error } = error;
  totals.failed.push({ name, why: failureInShort(cause) });
  say(`  ${styleText('red', '✗')} ${name}`);
  // The stack of a failed assertion holds what was expected and what came; its properties would repeat it.
  const stacks = causesOf(cause).map(one =>
    one instanceof Error && one.stack ? one.stack : inspect(one, { depth: 4 }),
  );
  say(indent(stacks.join('\nbecause of ')));
  if (said !== '') say(indent(`--- the file said:\n${said}`));
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '      ');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
