/**
 * A scenario as a person reads it, on a screen and in the guide: the drawing, then step by step what is done and why,
 * what was typed and printed, and what was expected and seen.
 */
import { printable } from '../../base/printable.ts';
import { wrapTo } from '../../console/fold.ts';
import { formatCount } from '../../console/format.ts';
import { paint, screenWidth } from '../../console/output.ts';
import type { Scenario, ScenarioReport, StepReport, TypedLine } from './scenario.ts';

/** Text is folded here, on a terminal and in a file: the pages of the guide show it as it is. A narrow terminal has fewer. */
const WIDTH = 80;
/** Lines of output of one command; `--json` has all of them. */
const MOST_LINES = 30;

export function introductionText({ name, title, lesson, drawing }: Scenario): string {
  return [
    paint('bold', `${name}: ${title}`),
    '',
    folded(lesson, 0),
    '',
    drawing.replace(/^\n/, '').trimEnd(),
  ].join('\n');
}

export function stepText(step: StepReport, number: number): string {
  const { title, why, equivalent, seen, transcript, checks } = step;
  const lines = [paint('bold', `${number}. ${title}`), folded(`   ${why}`, 3), ''];
  for (const typed of transcript) lines.push(...typedLines(typed), ...outputLines(typed.output));
  const typed = transcript.map(({ output }) => output).filter(text => text !== '');
  // What a step has found by itself comes after what commands have printed.
  lines.push(
    ...outputLines(seen.slice(typed.join('\n').length).replace(/^\n/, ''), Number.POSITIVE_INFINITY),
  );
  if (equivalent !== '') {
    if (lines.at(-1) !== '') lines.push('');
    lines.push('   The same without Tulle:', '', ...equivalent.split('\n').map(line => `   ${line}`));
  }
  if (checks.length > 0 && lines.at(-1) !== '') lines.push('');
  for (const check of checks) {
    if (check.passed) lines.push(folded(`   ${paint('green', 'ok')}  ${check.expected}: ${check.seen}`, 7));
    else {
      lines.push(folded(`   ${paint('red', 'FAILED')}  expected: ${check.expected}`, 21));
      lines.push(folded(`               seen: ${check.seen}`, 21));
    }
  }
  return lines.join('\n');
}

export function resultText({ scenario, passed, steps }: ScenarioReport): string {
  const checks = steps.flatMap(step => step.checks);
  const failed = checks.filter(check => !check.passed).length;
  const summary = `${formatCount(steps.length, 'step')}, ${formatCount(checks.length, 'check')}`;
  if (passed) return `${paint('green', 'passed')}  ${scenario}: ${summary}`;
  return `${paint('red', 'FAILED')}  ${scenario}: ${summary}, ${failed} failed; the steps after the failed one were not run`;
}

/** The prompt says where a line was typed; the lines of a here-document have none. */
function typedLines({ on, line }: TypedLine): string[] {
  const [first = '', ...rest] = line.split('\n');
  return [`${on}# ${first}`, ...rest].map(text => `   ${paint('cyan', text)}`);
}

function outputLines(output: string, most = MOST_LINES): string[] {
  if (output === '') return [];
  const lines = output
    .split('\n')
    .map(line => `   ${printable(line.replaceAll('\t', '        '))}`.trimEnd());
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most), `   ... ${formatCount(lines.length - most, 'more line')}`];
}

const folded = (text: string, indent: number) =>
  wrapTo(printable(text), indent, Math.min(WIDTH, screenWidth() ?? WIDTH));
