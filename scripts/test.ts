/**
 * Runs the tests: all of them, or those of the kinds or files that are named.
 *
 *     npm test
 *     npm test -- unit
 *     npm test -- test/e2e/switch.test.ts
 *
 * One line per file as it ends, failures in full when they happen and by name at the end, and a last line with
 * the counts. What this machine cannot do is skipped with the reason; with CI=true a skipped test is a failure,
 * because there a skipped test would go unnoticed.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { availableParallelism, uptime } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { inspect, styleText } from 'node:util';
import { FAST_PATH_OFF, filesOfBothWays } from './fast-path-off.ts';

const ROOT = join(import.meta.dirname, '..');
const CI = process.env['CI'] === 'true';

interface Kind {
  readonly name: string;
  /** What the output calls it; its name unless given. */
  readonly title?: string;
  /** Globs. */
  readonly files: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Files at a time. */
  readonly concurrency: number;
  /** Milliseconds that one test may take, and one file. A test that waits for ever fails by its name. */
  readonly testTimeout: number;
  readonly timeout: number;
  /** Runs only when it is named. */
  readonly onRequest?: true;
}

const WATCH_MS = 5000;
const GRACE_MS = 10_000;
/** USER_HZ of Linux on every architecture that Node.js runs on. */
const TICKS_PER_SECOND = 100;

const SLOW = { testTimeout: 240_000, timeout: 1_500_000 } as const;

/**
 * In the order in which they run: the quick ones first, then those with the longest files. The longest have several labs at
 * once themselves: more files than processors make all of them late, and what is late is asked for again.
 */
const BESIDE_EACH_OTHER = availableParallelism();
const KINDS: readonly Kind[] = [
  {
    name: 'unit',
    files: ['{src,scripts,test/support}/**/*.test.ts'],
    concurrency: availableParallelism(),
    testTimeout: 90_000,
    timeout: 300_000,
  },
  { name: 'durability', files: ['test/durability/**/*.test.ts'], concurrency: 1, ...SLOW },
  { name: 'e2e', files: ['test/e2e/**/*.test.ts'], concurrency: BESIDE_EACH_OTHER, ...SLOW },
  { name: 'integration', files: ['test/integration/**/*.test.ts'], concurrency: BESIDE_EACH_OTHER, ...SLOW },
  { name: 'oracle', files: ['test/oracle/**/*.test.ts'], concurrency: BESIDE_EACH_OTHER, ...SLOW },
  { name: 'faults', files: ['test/faults/*.test.ts'], concurrency: BESIDE_EACH_OTHER, ...SLOW },
  {
    name: 'fast-path-off',
    title: 'e2e, integration and faults with the fast path off',
    files: filesOfBothWays(),
    env: FAST_PATH_OFF,
    concurrency: BESIDE_EACH_OTHER,
    ...SLOW,
  },
  // Silence is noticed by timers of many seconds.
  {
    name: 'slow-faults',
    files: ['test/faults/slow/*.test.ts'],
    concurrency: BESIDE_EACH_OTHER,
    ...SLOW,
    onRequest: true,
  },
];

/** Files of minutes, the longest first: begun last, one of them would run alone in the end. */
const LONGEST = [
  'test/e2e/faults.test.ts',
  'test/e2e/scenarios.test.ts',
  'test/integration/mesh.test.ts',
  'test/e2e/switch.test.ts',
  'test/e2e/backend-matrix.test.ts',
  'test/e2e/auto.test.ts',
  'test/e2e/check.test.ts',
];

interface Totals {
  passed: number;
  readonly failed: string[];
  readonly skipped: string[];
}

const totals: Totals = { passed: 0, failed: [], skipped: [] };
const started = performance.now();

// Stripped types and compiled code are kept, as bin/tulle does: half of the processor time of a short test is loading.
process.env['NODE_COMPILE_CACHE'] ??= join(ROOT, 'node_modules', '.cache', 'tulle');

for (const kind of together(chosen(process.argv.slice(2)))) {
  const files = filesOf(kind);
  if (files.length > 0) await runFiles(kind, files);
}

say('');
for (const name of totals.skipped) say(`${styleText('yellow', 'skipped')} ${name}`);
for (const name of totals.failed) say(`${styleText('red', 'failed')}  ${name}`);
const failedSkips = CI ? totals.skipped.length : 0;
if (failedSkips > 0) say('CI=true: a skipped test counts as failed');
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
    if (existsSync(join(ROOT, word))) return { name: word, files: [word], concurrency: 1, ...SLOW };
    say(`test: error: ${word} is neither a file nor one of ${KINDS.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  });
}

/** Kinds that follow each other and run alike are one: nothing waits for the last file of a kind. */
function together(kinds: readonly Kind[]): readonly Kind[] {
  return kinds.reduce<readonly Kind[]>((before, kind) => {
    const last = before.at(-1);
    const isAlike = last?.timeout === kind.timeout && last.concurrency === kind.concurrency;
    if (!isAlike || last.env !== kind.env) return [...before, kind];
    const merged = { ...last, name: `${last.name}, ${kind.name}`, files: [...last.files, ...kind.files] };
    return [...before.slice(0, -1), merged];
  }, []);
}

function filesOf({ files }: Kind): readonly string[] {
  const found = globSync([...files], { cwd: ROOT }).sort();
  return [...LONGEST.filter(file => found.includes(file)), ...found.filter(file => !LONGEST.includes(file))];
}

async function runFiles(kind: Kind, files: readonly string[]): Promise<void> {
  say(`\n${styleText('bold', `${kind.title ?? kind.name} (${files.length} files)`)}`);
  const nameOf = (file: string, test: string) =>
    `${file}: ${test}${kind.env === undefined ? '' : ` (${kind.title})`}`;
  const output = new Map<string, string>();
  const stream = run({
    files: files.map(file => join(ROOT, file)),
    cwd: ROOT,
    concurrency: kind.concurrency,
    timeout: kind.timeout,
    execArgv: [`--test-timeout=${kind.testTimeout}`],
    env: { ...process.env, ...kind.env },
  });
  // A file may hold its process open after its last test, and not even heed the signal that its timeout sends.
  const watchdog = setInterval(() => endOverdue(kind.timeout + GRACE_MS), WATCH_MS);
  for await (const { type, data } of stream) {
    const file = 'file' in data && data.file !== undefined ? relative(ROOT, data.file) : '';
    switch (type) {
      case 'test:pass':
        if (data.skip !== undefined)
          totals.skipped.push(`${nameOf(file, data.name)} (${data.skip || 'no reason given'})`);
        else if (data.details.type !== 'suite') totals.passed++;
        break;
      case 'test:fail':
        reportFailure(nameOf(file, data.name), data.details.error, output.get(file) ?? '');
        break;
      case 'test:stderr':
      case 'test:stdout':
        output.set(file, `${output.get(file) ?? ''}${data.message}`.slice(-8000));
        break;
      case 'test:summary':
        if (file !== '') {
          const { passed, failed, cancelled } = data.counts;
          const bad = failed + cancelled;
          const mark = bad === 0 ? styleText('green', '✓') : styleText('red', '✗');
          say(
            `  ${mark} ${file}  ${passed} passed${bad === 0 ? '' : `, ${bad} failed`}  ${seconds(data.duration_ms)}`,
          );
        }
        break;
    }
  }
  clearInterval(watchdog);
}

/** Ends the processes of test files that have run for longer. @param age milliseconds */
function endOverdue(age: number): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
  for (const child of children.filter(text => text !== '')) {
    // Field 22, counted from the end of the name in parentheses, in ticks since boot (proc_pid_stat(5)).
    const stat = readFileSync(`/proc/${child}/stat`, 'utf8');
    const started = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / TICKS_PER_SECOND;
    if ((uptime() - started) * 1000 > age) process.kill(Number(child), 'SIGKILL');
  }
}

function reportFailure(name: string, error: Error & { failureType?: string }, said: string): void {
  // A suite fails because a test in it did, which has been reported already.
  if (error.failureType === 'subtestsFailed') return;
  totals.failed.push(name);
  say(`  ${styleText('red', '✗')} ${name}`);
  // The stack of a failed assertion holds what was expected and what came; its properties would repeat it.
  const { cause = error } = error;
  say(indent(cause instanceof Error && cause.stack ? cause.stack : inspect(cause, { depth: 4 })));
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
