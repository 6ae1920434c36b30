/**
 * The agent's options one by one: each is looked up in the order of precedence, read as the kind of value it is, and
 * what is wrong with it is collected. What several options mean together is options.ts' business.
 */
import { resolve } from 'node:path';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { FAMILY_LABELS, type Family, Ip } from '../../base/ip.ts';
import type { Flag } from './flag.ts';
import { FLAGS, type FlagName } from './flags.ts';
import { type FlagSyntax, parseGoBoolean, parseGoFlags, parseGoInteger } from './go-flags.ts';
import { UNUSED_FLAGS } from './unused-flags.ts';

/** Where the text of one option came from. */
interface Given {
  /** For reports: `--iface` or `$FLANNELD_IFACE`. */
  readonly path: string;
  readonly texts: readonly string[];
  /** From a variable of flannel's. */
  readonly ofFlannel?: true;
}

const FLAG_BY_NAME: ReadonlyMap<FlagName, Flag> = new Map(FLAGS.map(flag => [flag.name, flag]));

/** Flags that ask for a text instead of a start, by what they ask for. Go knows `help` and `h` by itself. */
export const INFORMATION_FLAGS = { help: 'help', h: 'help', version: 'version' } as const;

const SYNTAX: readonly FlagSyntax[] = [
  ...FLAGS.map(({ name, kind }) => ({ name, boolean: kind === 'boolean' })),
  ...UNUSED_FLAGS,
  ...Object.keys(INFORMATION_FLAGS).map(name => ({ name, boolean: true })),
];

/** The text that a command line asks for instead of a start, if any. */
export function informationWanted(args: readonly string[]): 'help' | 'version' | undefined {
  const { values } = parseGoFlags(args, SYNTAX);
  const asked = Object.entries(INFORMATION_FLAGS).find(
    ([name]) => parseGoBoolean(values.get(name)?.at(-1) ?? 'false') !== false,
  );
  return asked?.[1];
}

export class OptionReader {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #problems: Problem[];
  /** What was given and does not count, or not as it stands. */
  readonly warnings: Problem[] = [];

  constructor(args: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
    const { values, operands, problems } = parseGoFlags(args, SYNTAX);
    this.#values = values;
    this.#environment = environment;
    this.#problems = [...problems];
    this.#checkUnused();
    const [first, ...others] = operands;
    if (first !== undefined) {
      const rest = others.length === 0 ? '' : `, and ${others.length} more after it`;
      this.warnings.push({
        path: first,
        message: `has no effect${rest}: the first word that is no flag ends the flags, as in flannel`,
        hint: 'write --FLAG=VALUE; the value of a boolean needs the =',
      });
    }
  }

  /** @throws ConfigError when anything was wrong. */
  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError('agent options', this.#problems);
  }

  /** Adds a problem with an option; without `value` that is not shown. */
  problem(name: FlagName, value: string | undefined, message: string, hint?: string): void {
    this.#problems.push(this.#about(name, value, message, hint));
  }

  /** Adds a warning that an option does not count, or not as it stands. */
  warning(name: FlagName, value: string | undefined, message: string, hint?: string): void {
    this.warnings.push(this.#about(name, value, message, hint));
  }

  string(name: FlagName): string {
    const { texts } = this.#find(name);
    return texts.at(-1) ?? String(FLAG_BY_NAME.get(name)?.default ?? '');
  }

  strings(name: FlagName): readonly string[] {
    return this.#find(name).texts.filter(text => text !== '');
  }

  boolean(name: FlagName): boolean {
    const text = this.string(name);
    const value = parseGoBoolean(text);
    if (value === undefined) this.#unreadable(name, text, 'want true or false', 'false');
    return value ?? false;
  }

  /** One of a few words; the first of them when it is none. */
  oneOf<Word extends string>(name: FlagName, words: readonly [Word, ...Word[]]): Word {
    const text = this.string(name);
    const found = words.find(word => word === text);
    if (found === undefined) this.problem(name, text, `want ${words.join(', ')}`);
    return found ?? words[0];
  }

  integer(name: FlagName): number {
    const flag = FLAG_BY_NAME.get(name);
    if (flag?.kind !== 'integer') throw new TypeError(`${name} is not an integer`);
    const { min, max } = flag;
    const text = this.string(name);
    const range = `want a whole number from ${min} to ${max}`;
    const value = parseGoInteger(text) ?? this.#unreadable(name, text, range, '0') ?? 0;
    const nearest = Math.min(Math.max(value, min), max);
    if (nearest === value) return value;
    if (flag.lenient) this.warning(name, text, `counts as ${nearest}`, range);
    else this.problem(name, text, range);
    return nearest;
  }

  optional<Key extends string>(key: Key, name: FlagName): { [K in Key]?: string } {
    const text = this.string(name);
    return (text === '' ? {} : { [key]: text }) as { [K in Key]?: string };
  }

  /** Absolute; one that is not begins at the working directory. @param otherwise where it is when nothing says so. */
  path(name: FlagName, otherwise?: string): string {
    const text = this.#find(name).texts.at(-1) ?? otherwise ?? this.string(name);
    if (text === '') this.problem(name, text, 'want a path');
    return resolve(text);
  }

  ip<Key extends string>(key: Key, name: FlagName, family?: Family): { [K in Key]?: Ip } {
    const text = this.string(name);
    if (text === '') return {};
    const ip = Ip.tryParse(text);
    if (ip === undefined || (family !== undefined && ip.family !== family)) {
      this.problem(name, text, `want an ${family === undefined ? 'IP' : FAMILY_LABELS[family]} address`);
      return {};
    }
    if (ip.isUnspecified || ip.isMulticast || ip.isReserved) {
      this.problem(name, text, 'is not the address of a host');
    }
    return { [key]: ip } as { [K in Key]?: Ip };
  }

  /** Two that are of use only together: one alone has no effect, in flannel too. */
  together(first: FlagName, second: FlagName): boolean {
    const absent = [first, second].filter(name => this.string(name) === '');
    if (absent.length !== 1) return absent.length === 0;
    const present = absent[0] === first ? second : first;
    this.warning(present, undefined, `has no effect without --${absent[0]}`);
    return false;
  }

  #about(name: FlagName, value: string | undefined, message: string, hint: string | undefined): Problem {
    return {
      path: this.#find(name).path,
      ...(value === undefined ? {} : { value }),
      message,
      ...(hint === undefined ? {} : { hint }),
    };
  }

  /** flannel starts with a variable that it cannot read, which then has the zero value of its kind. */
  #unreadable(name: FlagName, text: string, want: string, zero: string): undefined {
    if (this.#find(name).ofFlannel) this.warning(name, text, `counts as ${zero}, as in flannel`, want);
    else this.problem(name, text, want);
  }

  #checkUnused(): void {
    for (const { name, default: standard, boolean, why, refused } of UNUSED_FLAGS) {
      const { path, texts } = this.#find(name);
      const same = (text: string) =>
        boolean ? parseGoBoolean(text) === parseGoBoolean(standard) : text === standard;
      const value = texts.at(-1);
      if (value === undefined || same(value)) continue;
      if (refused) this.#problems.push({ path, value, message: 'is not supported', hint: why });
      else this.warnings.push({ path, value, message: 'has no effect', hint: why });
    }
  }

  #find(name: string): Given {
    const given = this.#values.get(name);
    if (given !== undefined) return { path: `--${name}`, texts: given };
    const suffix = name.toUpperCase().replaceAll('-', '_');
    const own = this.#environment[`TULLE_${suffix}`];
    if (own) return { path: `$TULLE_${suffix}`, texts: [own] };
    const flannels = this.#environment[`FLANNELD_${suffix}`];
    if (flannels) return { path: `$FLANNELD_${suffix}`, texts: [flannels], ofFlannel: true };
    return { path: `--${name}`, texts: [] };
  }
}
