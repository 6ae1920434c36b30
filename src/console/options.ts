/**
 * Parsers for option and argument values, to be given to commander:
 *
 *     command.addOption(new Option('--port <n>', 'UDP port').argParser(port));
 *     command.argument('<prefix>', 'network', value(Prefix.parse));
 *
 * commander stops at the first value it cannot parse. These parsers never throw: they leave an Invalid in the
 * value's place, and `assertOptions`, which runs before every action, reports all of them in one ConfigError.
 * No action ever sees an Invalid.
 */
import { type Argument, type Command, Option } from 'commander';
import { ConfigError, messageOf, ParseError, type Problem, TulleError } from '../base/errors.ts';
import { FAMILY_LABELS, type Family, Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { formatDuration } from './format.ts';
import { LOG_FORMATS } from './log-format.ts';

class Invalid {
  readonly value: string;
  readonly message: string;
  readonly hint: string | undefined;

  constructor(value: string, error: unknown) {
    this.value = value;
    this.message = messageOf(error);
    this.hint = error instanceof TulleError ? error.hint : undefined;
  }
}

/** What commander calls with the text of a value. */
export type ValueParser<T> = (text: string) => T;

/** Makes a parser of any function that throws on bad text. */
export function value<T>(parse: (text: string) => T): ValueParser<T> {
  return text => {
    try {
      return parse(text);
    } catch (error) {
      // The type is honoured by assertOptions: it keeps an Invalid away from every reader.
      return new Invalid(text, error) as T;
    }
  };
}

/** For an option that may be given several times: collects the values in order. */
export function repeated<T>(
  parse: ValueParser<T>,
): (text: string, previous: readonly T[] | undefined) => T[] {
  return (text, previous = []) => [...previous, parse(text)];
}

/** `a,b,c`; white space around an element and empty elements are dropped, and at least one must be left. */
export function list<T>(parse: (text: string) => T): ValueParser<T[]> {
  return value(text => {
    const parts = text
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== '');
    if (parts.length === 0) throw new ParseError('a list', text, 'want one or more, separated by commas');
    return parts.map(part => parse(part));
  });
}

/** One word out of a few. @param what they are, with an article: `a severity`. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  what: string,
): (text: string) => Word {
  return text => {
    const found = words.find(word => word === text);
    if (found === undefined) throw new ParseError(what, text, `want ${words.join(', ')}`);
    return found;
  };
}

/** Gives an option or argument a few words to choose from: named in its help, completed, and checked with all others. */
export function withChoices<Of extends Option | Argument>(
  of: Of,
  words: readonly string[],
  what: string,
): Of {
  of.choices(words);
  of.argParser(value(oneOf(words, what)));
  return of;
}

/** A decimal integer from `min` to `max`, both included; for an element of a `list`, as `oneOf`. */
export function wholeNumber(min: number, max: number, what?: string): (text: string) => number {
  return text => {
    const want = `want a whole number from ${min} to ${max}`;
    if (!/^-?\d+$/.test(text.trim())) throw new ParseError(what ?? 'a number', text, want);
    const number = Number(text);
    if (number >= min && number <= max) return number;
    throw new ParseError(what ?? 'in range', text, want);
  };
}

/** A `wholeNumber` as the value of an option. */
export const integer = (min: number, max: number): ValueParser<number> => value(wholeNumber(min, max));

/** A TCP or UDP port; 0 is accepted only where it means "off" or "any", with `integer(0, 65535)`. */
export const port: ValueParser<number> = integer(1, 65535);

export const ipAddress: ValueParser<Ip> = value(Ip.parse);

export const prefix: ValueParser<Prefix> = value(Prefix.parse);

/** An address of one family, as `--public-ip` and `--public-ipv6` want. */
export function ipOf(family: Family): ValueParser<Ip> {
  return value(text => {
    const address = Ip.parse(text);
    if (address.family === family) return address;
    throw new ParseError(`an ${FAMILY_LABELS[family]} address`, text, 'other address family');
  });
}

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * `500ms`, `10s`, `5m`, `24h` or `7d`, in milliseconds, from `min` to `max`. A number without a unit is refused: it
 * is ambiguous.
 */
export function duration({ min, max }: { readonly min: number; readonly max: number }): ValueParser<number> {
  return value(text => {
    const [, amount = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
    if (amount === '') throw new ParseError('a duration', text, 'want for example 500ms, 10s, 5m, 24h or 7d');
    const ms = Number(amount) * UNITS_MS[unit as keyof typeof UNITS_MS];
    if (ms >= min && ms <= max) return ms;
    throw new ParseError('a duration', text, `want ${formatDuration(min)} to ${formatDuration(max)}`);
  });
}

/** Of every command that prints state. */
export const jsonOption = (): Option => new Option('--json', 'print JSON');

/** Of every daemon. */
export const logFormatOption = (): Option =>
  withChoices(new Option('--log-format <format>', 'format of the log'), LOG_FORMATS, 'a format of the log')
    .default('auto')
    .env('TULLE_LOG_FORMAT');

/** @throws ConfigError with every value of `command` that could not be parsed. */
export function assertOptions(command: Command): void {
  const ofOptions = lineage(command).flatMap(owner =>
    owner.options.flatMap(option =>
      problems(owner.getOptionValue(option.attributeName()), () => nameOf(owner, option)),
    ),
  );
  const ofArguments = command.registeredArguments.flatMap((argument, index) =>
    problems(command.processedArgs[index], () => `<${argument.name()}>`),
  );
  const found = [...ofArguments, ...ofOptions];
  if (found.length > 0) throw new ConfigError('command line', found);
}

/** The command and everything it hangs on: options of a parent count too. */
function lineage(command: Command): Command[] {
  return command.parent === null ? [command] : [...lineage(command.parent), command];
}

function problems(given: unknown, path: () => string): Problem[] {
  return (Array.isArray(given) ? given : [given])
    .filter(item => item instanceof Invalid)
    .map(({ message, hint }) => ({ path: path(), message, ...(hint === undefined ? {} : { hint }) }));
}

function nameOf(command: Command, option: Option): string {
  const fromEnvironment = command.getOptionValueSource(option.attributeName()) === 'env';
  return fromEnvironment && option.envVar !== undefined ? `$${option.envVar}` : (option.long ?? option.flags);
}
