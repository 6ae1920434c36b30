/** Performs a scenario: makes its lab, goes through its steps, and reports what was seen. */
import { systemClock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { messageOf } from '../../base/errors.ts';
import { createLab, type Lab } from '../lab.ts';
import { requirePrograms } from '../requirements.ts';
import { planTopology } from '../topology/plan.ts';
import { fillIn } from './command-line.ts';
import type {
  Check,
  CheckReport,
  CheckVerdict,
  CommandSpec,
  Found,
  Scenario,
  ScenarioReport,
  ScenarioStep,
  StepReport,
  TypedLine,
} from './scenario.ts';
import { type Typed, Typist } from './typist.ts';

export interface PerformOptions {
  /** Of the lab. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** Called before a step begins, and awaited: for who wants to look first. */
  readonly beforeStep?: (step: ScenarioStep, number: number) => Promise<void>;
  /** Called after each step. */
  readonly onStep?: (report: StepReport, number: number) => void;
  /** Called after each step of making the lab. */
  readonly onPreparation?: (what: string) => void;
  /** Id of a step that is left out, to see that the scenario depends on it. */
  readonly without?: string;
}

export interface Performance extends AsyncDisposable {
  readonly report: ScenarioReport;
  /** Ends with the performance unless it is handed over. */
  readonly lab: Lab;
}

/**
 * Goes through the steps until one fails: those after it would only fail for the same reason.
 *
 * @throws LabError when the lab cannot be made; `signal.reason`.
 */
export async function performScenario(scenario: Scenario, options: PerformOptions): Promise<Performance> {
  const { signal } = options;
  await using resources = new AsyncDisposableStack();
  const lab = resources.use(await makeLab(scenario, options));
  await lab.publish();
  const typist = new Typist(lab.record, signal);
  const steps: StepReport[] = [];
  for (const step of scenario.steps.filter(({ id }) => id !== options.without)) {
    const number = steps.length + 1;
    await options.beforeStep?.(step, number);
    signal.throwIfAborted();
    const report = await perform(step, typist);
    steps.push(report);
    options.onStep?.(report, number);
    if (report.checks.some(({ passed }) => !passed)) break;
  }
  const passed = steps.every(({ checks }) => checks.every(check => check.passed));
  const kept = resources.move();
  return {
    report: { scenario: scenario.name, passed, steps },
    lab,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The hosts that a scenario begins with. @throws LabError; `signal.reason` */
export async function makeLab(
  { programs = {}, topology }: Scenario,
  {
    name,
    signal,
    onPreparation = () => undefined,
  }: Pick<PerformOptions, 'name' | 'signal' | 'onPreparation'>,
): Promise<Lab> {
  requirePrograms(programs);
  return await createLab(planTopology(topology, { name }), { signal, onStep: onPreparation });
}

const specOf = (command: string | CommandSpec): CommandSpec =>
  typeof command === 'string' ? { line: command } : command;

async function perform(step: ScenarioStep, typist: Typist): Promise<StepReport> {
  const transcript: TypedLine[] = [];
  const outputs: string[] = [];
  const checks: CheckReport[] = [];
  let found: Found | undefined;
  try {
    for (const command of (step.commands ?? []).map(specOf)) {
      const on = command.on ?? step.on;
      const typed = await typist.typeCommand(on, command);
      outputs.push(typed.output);
      const shown = command.quiet === true ? '' : (command.show ?? (text => text))(typed.output);
      transcript.push({ on, line: typed.line, output: shown.trimEnd() });
      const failure = failureOf(command, typed);
      if (failure !== undefined) checks.push(failure);
      if (failure !== undefined) break;
    }
    if (checks.length === 0 && step.act !== undefined) {
      const given = await step.act(typist);
      found = typeof given === 'string' ? { text: given, data: undefined } : given;
      outputs.push(found.text);
    }
    if (checks.length === 0)
      for (const check of step.checks ?? []) checks.push(await verify(check, step, outputs.join(''), typist));
  } catch (error) {
    typist.signal.throwIfAborted();
    checks.push({ expected: 'the step works', seen: messageOf(error), passed: false });
  }
  const seen = [...transcript.map(({ output }) => output), found?.text.trimEnd() ?? ''];
  return {
    title: step.title,
    on: step.on,
    why: step.why,
    command: transcript.map(({ line }) => line).join('\n'),
    equivalent: equivalentOf(step, typist),
    seen: seen.filter(text => text !== '').join('\n'),
    transcript,
    ...defined({ data: found?.data }),
    checks,
  };
}

/** A step that has failed may not have shown what the lines need. */
function equivalentOf({ equivalent = [] }: ScenarioStep, { known }: Typist): string {
  try {
    return fillIn(equivalent.join('\n'), known);
  } catch {
    return equivalent.join('\n');
  }
}

function failureOf({ mayFail }: CommandSpec, { line, status, output }: Typed): CheckReport | undefined {
  if (mayFail === true || status === 0) return undefined;
  return { expected: `\`${line}\` works`, seen: output.trim() || `exit status ${status}`, passed: false };
}

const AGAIN_MS = 200;

async function verify(
  check: Check,
  step: ScenarioStep,
  output: string,
  typist: Typist,
): Promise<CheckReport> {
  const expected = fillIn(check.expected, typist.known);
  const deadline = performance.now() + (check.within ?? 0) * 1000;
  for (;;) {
    const verdict = await judge(check, step, output, typist);
    if (verdict.passed || performance.now() >= deadline) return { expected, ...verdict };
    await systemClock.sleep(AGAIN_MS, typist.signal);
  }
}

async function judge(
  check: Check,
  step: ScenarioStep,
  output: string,
  typist: Typist,
): Promise<CheckVerdict> {
  if (check.command === undefined) return check.judge(output, typist);
  const command = specOf(check.command);
  const typed = await typist.typeCommand(command.on ?? step.on, command);
  return check.judge(typed.output, typist);
}
