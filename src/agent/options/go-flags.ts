/**
 * Command lines in the syntax of Go's flag package, which flannel's users write: one dash or two, `--flag value`
 * or `--flag=value`, booleans only as `--flag` or `--flag=false`. The first word that is no flag ends them, and so
 * does `--`.
 */
import type { Problem } from '../../base/errors.ts';
import { nearest } from '../../base/nearest.ts';

export interface FlagSyntax {
  readonly name: string;
  readonly boolean: boolean;
}

export interface ParsedFlags {
  /** Every value given for a flag, in order, as text; `true` for a bare boolean. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The words after the flags. */
  readonly operands: readonly string[];
  readonly problems: readonly Problem[];
}

export function parseGoFlags(args: readonly string[], flags: Iterable<FlagSyntax>): ParsedFlags {
  const known = new Map(Array.from(flags, flag => [flag.name, flag]));
  const values = new Map<string, string[]>();
  const problems: Problem[] = [];
  const queue = [...args];

  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    if (arg === '--') break;
    if (arg === '-' || !arg.startsWith('-')) {
      queue.unshift(arg);
      break;
    }
    const [, name, inline] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      problems.push({ path: arg, message: 'is not a flag', hint: 'want --NAME, --NAME=VALUE or -NAME' });
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
      // Most likely its value, and not the end of the flags.
      if (inline === undefined && queue[0]?.startsWith('-') === false) queue.shift();
      continue;
    }
    const value = inline ?? (flag.boolean ? 'true' : queue.shift());
    if (value === undefined) problems.push({ path: `--${name}`, message: 'needs a value' });
    else values.set(name, [...(values.get(name) ?? []), value]);
  }
  return { values, operands: queue, problems };
}

/** What Go's strconv.ParseBool takes; undefined for anything else. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return undefined;
}

/**
 * What Go's flag.Int takes: decimal, `0x` hexadecimal, `0b` binary, `0o` or a leading zero octal, with `_` between
 * digits; undefined for anything else.
 */
export function parseGoInteger(text: string): number | undefined {
  const match = /^([+-]?)(0x(?:_?[\da-f])+|0o?(?:_?[0-7])+|0b(?:_?[01])+|0|[1-9](?:_?\d)*)$/i.exec(text);
  if (match === null) return undefined;
  const sign = match[1];
  const digits = (match[2] ?? '').replaceAll('_', '');
  const magnitude = Number(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return sign === '-' ? -magnitude : magnitude;
}
