/** The usual judges of checks: what is looked for in an output, and how what is seen is said in short. */
import type { Judge } from './scenario.ts';

/** The output has it; the line that matches is what is seen. */
export const sees =
  (pattern: RegExp): Judge =>
  output => {
    const line = output.split('\n').find(candidate => pattern.test(candidate));
    if (line !== undefined) return { seen: squeeze(line), passed: true };
    // A pattern over several lines.
    return { seen: abbreviate(output), passed: pattern.test(output) };
  };

/** The output has it not. */
export const lacks =
  (pattern: RegExp, seen = 'nothing of the kind'): Judge =>
  output => {
    const line = output.split('\n').find(candidate => pattern.test(candidate));
    return line === undefined ? { seen, passed: true } : { seen: squeeze(line), passed: false };
  };

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

function abbreviate(output: string): string {
  const [first = 'nothing'] = output.split('\n').filter(line => line.trim() !== '');
  return squeeze(first);
}
