/**
 * Command lines in the syntax of Go's flag package, which flannel's users write: one dash or two, `--flag value`
 * or `--flag=value`, booleans only as `--flag` or `--flag=false`, `--` ends the flags.
 */
import type { Problem } from '../base/errors.ts';

export interface FlagSyntax {
  readonly name: string;
  readonly boolean: boolean;
}

export interface ParsedFlags {
  /** Every value given for a flag, in order, as text; `true` for a bare boolean. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly Problem[];
}

export function parseGoFlags(args: readonly string[], flags: Iterable<FlagSyntax>): ParsedFlags {
  const known = new Map(Array.from(flags, flag => [flag.name, flag]));
  const values = new Map<string, string[]>();
  const problems: Problem[] = [];
  const queue = [...args];
  let onlyOperands = false;

  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    const match = onlyOperands ? null : /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg);
    if (!onlyOperands && arg === '--') {
      onlyOperands = true;
      continue;
    }
    const [, name = '', inline] = match ?? [];
    if (match === null) {
      problems.push({ path: arg, message: 'is not a flag', hint: 'flags begin with -- or -' });
      continue;
    }
    const flag = known.get(name);
    if (flag === undefined) {
      const near = nearest(name, known.keys());
      problems.push({
        path: `--${name}`,
        message: 'is not a known flag',
        ...(near === undefined ? {} : { hint: `did you mean --${near}?` }),
      });
      continue;
    }
    const value = inline ?? (flag.boolean ? 'true' : queue.shift());
    if (value === undefined) problems.push({ path: `--${name}`, message: 'needs a value' });
    else values.set(name, [...(values.get(name) ?? []), value]);
  }
  return { values, problems };
}

/** What Go's strconv.ParseBool takes; undefined for anything else. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return undefined;
}

/** Decimal, `0x` hexadecimal, `0o` or a leading zero octal, as Go's flag.Int takes them; undefined otherwise. */
export function parseGoInteger(text: string): number | undefined {
  const match = /^([+-]?)(0x[0-9a-f]+|0o?[0-7]+|0b[01]+|0|[1-9]\d*)$/i.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = ''] = match;
  const magnitude = Number(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return sign === '-' ? -magnitude : magnitude;
}

/** The candidate within two edits of `name`, if any. */
function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [row, char] of Array.from(a).entries()) {
    const current = [row + 1];
    for (let column = 1; column <= b.length; column++) {
      const substitute = (previous[column - 1] ?? 0) + (char === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitute, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
