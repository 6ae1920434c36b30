/** The usual judges of checks: what is looked for in an output, and how what is seen is said in short. */
import { abridge } from '../../base/printable.ts';
import { fillIn } from './command-line.ts';
import type { Check, Judge } from './scenario.ts';

/** A check of what a command shows on a host. */
export const checkOn = (on: string, line: string, expected: string, judge: Judge): Check => ({
  expected: `${on}: ${expected}`,
  command: { line, on, mayFail: true },
  judge,
});

/** The output has it: the line that matches is what is seen or, of a long one, what matches. */
export const sees =
  (pattern: RegExp): Judge =>
  output => {
    const line = output.split('\n').find(candidate => pattern.test(candidate));
    const [match] = pattern.exec(line ?? output) ?? [];
    if (match === undefined) return { seen: abbreviate(output), passed: false };
    return {
      seen: line === undefined || !isAtAGlance(line) ? abbreviate(match) : squeeze(line),
      passed: true,
    };
  };

/** The output has it not. */
export const lacks =
  (pattern: RegExp, seen = 'nothing of the kind'): Judge =>
  output => {
    const line = output.split('\n').find(candidate => pattern.test(candidate));
    return line === undefined ? { seen, passed: true } : { seen: squeeze(line), passed: false };
  };

/** The output has this text; `$NAME` as in commands. The line is what is seen. */
export const shows =
  (text: string): Judge =>
  (output, stage) =>
    sees(new RegExp(literal(fillIn(text, stage.known)), 'm'))(output, stage);

/** The output matches this pattern; `$NAME` as in commands, each value as it is. What matches is what is seen. */
export const showsLike =
  (pattern: string): Judge =>
  (output, { known }) => {
    const values = Object.entries(known).map(([name, value]) => [name, literal(value)]);
    const [match] = new RegExp(fillIn(pattern, Object.fromEntries(values)), 'm').exec(output) ?? [];
    return { seen: squeeze(match ?? abbreviate(output)), passed: match !== undefined };
  };

/** A pattern that matches this text only. */
const literal = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** ping (of iputils or busybox) got all answers. */
export const answered: Judge = output => {
  const { sent, received } = countsOf(output);
  return { seen: countsText(sent, received, output), passed: sent > 0 && received === sent };
};

/** ping (of iputils or busybox) got no answer. */
export const unanswered: Judge = output => {
  const { sent, received } = countsOf(output);
  return { seen: countsText(sent, received, output), passed: sent > 0 && received === 0 };
};

/** A number in the output, the first group of `pattern`. */
export const counts =
  (pattern: RegExp, holds: (value: number) => boolean, unit = ''): Judge =>
  output => {
    const [, text] = pattern.exec(output) ?? [];
    if (text === undefined) return { seen: abbreviate(output), passed: false };
    return { seen: `${text}${unit === '' ? '' : ` ${unit}`}`, passed: holds(Number(text)) };
  };

function countsOf(output: string): { readonly sent: number; readonly received: number } {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) (?:packets )?received/.exec(output) ?? [];
  return { sent: Number(sent ?? 0), received: Number(received ?? 0) };
}

function countsText(sent: number, received: number, output: string): string {
  if (sent === 0) return abbreviate(output);
  const [reason] = /Destination (Host|Net) Unreachable|(Frag needed|message too long).*/.exec(output) ?? [];
  return `${received} of ${sent} answered${reason === undefined ? '' : ` (${reason})`}`;
}

const squeeze = (line: string) => line.trim().replaceAll(/\s+/g, ' ');

/** Columns of output that are read at a glance. */
const A_LINE = 90;
/** Subnets are drawn: what is shown of a line must not depend on how many digits that gives. */
const isAtAGlance = (line: string) =>
  line.replaceAll(/\b(\d+\.\d+)\.\d{1,3}\.(\d+)\b/g, '$1.000.$2').length <= A_LINE;
const SOME_LINES = 300;

function abbreviate(output: string): string {
  const text = squeeze(output);
  return text === '' ? 'nothing' : abridge(text, SOME_LINES);
}
