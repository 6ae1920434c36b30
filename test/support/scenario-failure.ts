/** Why a scenario failed, the most telling lines first: a log of CI may have room for a dozen. */
import { abridge } from '../../src/base/printable.ts';
import type { ScenarioReport, StepReport } from '../../src/lab/scenario/scenario.ts';
import { stepText } from '../../src/lab/scenario/scenario-text.ts';

/** Characters of what a command printed, and of each side of a difference. */
const SHORT = 240;
/** Characters before a difference. */
const CONTEXT = 60;
/** Commands of the failed step, the last ones. */
const MOST_COMMANDS = 6;

/** The failed step in short, then all steps in full. */
export function scenarioFailure(report: ScenarioReport): string {
  const { scenario, steps } = report;
  const last = steps.at(-1);
  const all = steps.map((step, index) => stepText(step, index + 1));
  const short = last === undefined ? ['no step was begun'] : stepFailure(last, steps.length);
  return [`${scenario} failed`, ...short, '', ...all].join('\n');
}

function stepFailure({ title, on, checks, transcript }: StepReport, number: number): string[] {
  const failed = checks.filter(({ passed }) => !passed);
  return [
    `step ${number} on ${on}: ${title}`,
    ...failed.map(({ expected, seen }) => `expected: ${expected}; seen: ${inShort(seen)}`),
    ...transcript
      .slice(-MOST_COMMANDS)
      .map(typed => `${typed.on}# ${typed.line} -> ${inShort(typed.output)}`),
  ];
}

/** Where two texts begin to differ; undefined when they do not. */
export function firstDifference(expected: string, actual: string): string | undefined {
  if (expected === actual) return undefined;
  const end = Array.from(expected).findIndex((_, index) => expected[index] !== actual[index]);
  const from = Math.max(0, (end < 0 ? expected.length : end) - CONTEXT);
  const part = (text: string) => `...${text.slice(from, from + SHORT)}...`;
  return `expected: ${part(expected)}\n     but: ${part(actual)}`;
}

const inShort = (text: string) => abridge(text.trim().replaceAll(/\s+/g, ' ') || 'nothing', SHORT);
