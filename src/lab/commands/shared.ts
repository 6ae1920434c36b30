/** What several commands of labs share: options, and how the making of a lab is shown. */
import { Option } from 'commander';
import { ParseError } from '../../base/errors.ts';
import { isObject } from '../../base/fields.ts';
import { formatDuration } from '../../console/format.ts';
import { offering } from '../../console/offers.ts';
import { value, withChoices } from '../../console/options.ts';
import { note } from '../../console/output.ts';
import { LabError } from '../errors.ts';
import { DEFAULT_LAB, parseLabName } from '../topology/lab-name.ts';
import { LAB_FAMILIES } from '../topology/simple.ts';

export const familyOption = () =>
  withChoices(
    new Option('--family <family>', 'addresses of hosts and containers'),
    Object.keys(LAB_FAMILIES),
    'a family',
  ).default('ipv4');

export const nameOption = () =>
  offering(new Option('--name <name>', 'name of the lab'), 'labs')
    .default(DEFAULT_LAB)
    .argParser(value(parseLabName));

export interface Named {
  readonly name: string;
  readonly json?: true;
}

/** Prints each step on stderr with the time it took. */
export function stepNoter(): (step: string) => void {
  let last = performance.now();
  return step => {
    const now = performance.now();
    note(`${step} (${formatDuration(now - last)})`);
    last = now;
  };
}

/** The log of a daemon that failed is gone with its host; what it said last is shown before the error. */
export async function withLog<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const log = error instanceof LabError ? error.context['log'] : undefined;
    if (typeof log === 'string' && log !== '') for (const line of log.split('\n')) note(`  | ${line}`);
    throw error;
  }
}

/** @throws ParseError */
export function jsonObject(text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new ParseError('a JSON object', text, 'not JSON');
  }
  if (!isObject(parsed)) throw new ParseError('a JSON object', text, 'want {...}');
  return parsed;
}
