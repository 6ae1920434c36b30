/** `tulle lab run`: a scenario, step by step, with the reason of each step and what is then seen. */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { Argument, Command, Option } from 'commander';
import { messageOf, TulleError } from '../../base/errors.ts';
import { CommandError, Interrupted } from '../../console/errors.ts';
import { EXIT } from '../../console/exit-codes.ts';
import { withExamples } from '../../console/help.ts';
import { jsonOption, value, withChoices } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatTable } from '../../console/table.ts';
import { targetsIn } from '../record/find.ts';
import type { LabRecord } from '../record/record.ts';
import { nameFlag, parseLabName } from '../topology/lab-name.ts';
import { loadScenario, loadScenarios, SCENARIO_NAMES } from './catalogue.ts';
import { makeLab, performScenario } from './perform.ts';
import type { Scenario, ScenarioReport } from './scenario.ts';
import { introductionText, resultText, stepText } from './scenario-text.ts';

interface RunOptions {
  readonly list?: true;
  readonly keep?: true;
  readonly slow?: true;
  readonly byHand?: true;
  readonly json?: true;
  readonly name?: string;
}

const ALL = 'all';

export function scenarioCommand(): Command {
  const command = new Command('run')
    .description(
      'Perform an experiment of the guide on a lab of its own: every command with its reason and with what is then seen.',
    )
    .addArgument(
      withChoices(
        new Argument('[scenario]', 'name of a scenario, or `all`'),
        [...SCENARIO_NAMES, ALL],
        'a scenario',
      ),
    )
    .option('--list', 'list the scenarios')
    .option('--keep', 'leave the lab up afterwards')
    .option('--slow', 'wait for Enter before each step')
    .addOption(
      new Option('--by-hand', 'only make the hosts, and leave the commands to you').conflicts([
        'slow',
        'keep',
        'json',
      ]),
    )
    .addOption(
      new Option('--name <name>', 'name of the lab (default: that of the scenario)').argParser(
        value(parseLabName),
      ),
    )
    .addOption(jsonOption())
    .action((scenario: string | undefined, options: RunOptions) =>
      untilStopped(signal => runScenarios(scenario, options, signal)),
    );
  return withExamples(command, [
    { line: 'lab run --list', does: 'what there is to learn' },
    { line: 'lab run netns-veth', does: 'one experiment, from nothing' },
    { line: 'lab run netns-veth --keep', does: 'and leave the hosts up, to go on by hand' },
    { line: 'lab run netns-veth --by-hand', does: 'the hosts alone, to type what the guide says' },
    { line: "lab run all --json | jq '.[] | {scenario, passed}'", does: 'all of them, for a script' },
  ]);
}

async function runScenarios(
  name: string | undefined,
  options: RunOptions,
  signal: AbortSignal,
): Promise<void> {
  if (options.list) return list(options);
  if (name === undefined)
    throw new CommandError('USAGE', 'no scenario is given', 'choose one of `tulle lab run --list`, or `all`');
  if (options.slow && (options.json || !process.stdin.isTTY))
    throw new CommandError('USAGE', '--slow waits for Enter, which needs a terminal', 'leave out --slow');
  const all = name === ALL;
  if (all && (options.keep || options.byHand || options.name !== undefined))
    throw new CommandError('USAGE', '--keep, --by-hand and --name are for one scenario', 'name the scenario');
  const scenarios = all ? await loadScenarios() : [await loadScenario(name)];
  if (options.byHand) {
    for (const scenario of scenarios) await makeHosts(scenario, options, signal);
    return;
  }
  const reports: ScenarioReport[] = [];
  for (const scenario of scenarios) {
    // One that cannot be tried here must not hide what became of the others.
    // Nor must a lab of the same name that is kept.
    const named = all ? { ...options, name: `${scenario.name}-${process.pid}` } : options;
    const report = runOne(scenario, named, signal);
    reports.push(await (all ? report.catch(error => notMade(scenario, error, options, signal)) : report));
  }
  if (options.json) printJson(all ? reports : reports[0]);
  if (all && !options.json) print(reports.map(resultText).join('\n'));
  if (reports.some(({ passed }) => !passed)) process.exitCode = EXIT.differs.status;
}

async function list({ json }: RunOptions): Promise<void> {
  const scenarios = await loadScenarios();
  if (json) return printJson(scenarios.map(({ name, title, lesson }) => ({ name, title, lesson })));
  const columns = [
    { title: 'name', cell: ({ name }: Scenario) => name },
    { title: 'shows', cell: ({ title }: Scenario) => title },
  ];
  print(formatTable(columns, scenarios));
}

async function runOne(scenario: Scenario, options: RunOptions, signal: AbortSignal): Promise<ScenarioReport> {
  const show = (text: string) => (options.json ? undefined : print(text));
  show(introductionText(scenario));
  const labName = options.name ?? scenario.name;
  await using performance = await performScenario(scenario, {
    name: labName,
    signal,
    onPreparation: what => note(what),
    onStep: (report, number) => show(`\n${stepText(report, number)}`),
    ...(options.slow && { beforeStep: async ({ title }) => untilEnter(title, signal) }),
  });
  const { report, lab } = performance;
  show(`\n${resultText(report)}`);
  if (options.keep) noteOf(await lab.handOver());
  return report;
}

/** The lab of a scenario without its steps. */
async function makeHosts(scenario: Scenario, { name }: RunOptions, signal: AbortSignal): Promise<void> {
  print(introductionText(scenario));
  await using lab = await makeLab(scenario, { name: name ?? scenario.name, signal, onPreparation: note });
  noteOf(await lab.handOver());
}

function noteOf(record: LabRecord): void {
  const flag = nameFlag(record.name);
  const [first] = record.hosts;
  note(
    `the lab stays: ${targetsIn(record).join(', ')}; explore it with \`tulle lab exec${flag} ${first?.name} -- bash\`, ` +
      `end it with \`tulle lab down${flag}\``,
  );
}

function notMade(
  { name }: Scenario,
  error: unknown,
  { json }: RunOptions,
  signal: AbortSignal,
): ScenarioReport {
  signal.throwIfAborted();
  const hint = error instanceof TulleError && error.hint !== undefined ? ` (${error.hint})` : '';
  const check = { expected: 'the lab can be made', seen: `${messageOf(error)}${hint}`, passed: false };
  const why = 'The experiment needs hosts of its own.';
  const step = { title: 'Make the hosts', on: '', why, command: '', equivalent: '', seen: '' };
  const report = { ...step, transcript: [], checks: [check] };
  if (!json) print(`\n${stepText(report, 1)}\n`);
  return { scenario: name, passed: false, steps: [report] };
}

/** The terminal keeps its own editing, so that Ctrl-C is a signal, as in every other command. Ctrl-D stops as well. */
async function untilEnter(title: string, signal: AbortSignal): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    const ended = once(lines, 'close', { signal }).then(() => {
      throw new Interrupted('SIGHUP');
    });
    await Promise.race([lines.question(`\nNext: ${title}. Enter to go on. `, { signal }), ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}
