/**
 * The agent's options one by one: each is looked up in the order of precedence, read as the kind of value it is, and
 * what is wrong with it is collected. What several options mean together is options.ts' business.
 */
import { ConfigError, type Problem } from '../base/errors.ts';
import { type Family, Ip } from '../base/ip.ts';
import { FLAGS, type Flag, type FlagName, REFUSED_FLAGS } from './flags.ts';
import { parseGoBoolean, parseGoFlags, parseGoInteger } from './go-flags.ts';

/** Where the text of one option came from. */
interface Given {
  /** For reports: `--iface` or `$FLANNELD_IFACE`. */
  readonly path: string;
  readonly texts: readonly string[];
}

const FLAG_BY_NAME: ReadonlyMap<FlagName, Flag> = new Map(FLAGS.map(flag => [flag.name, flag]));

export class OptionReader {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #problems: Problem[];

  constructor(args: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
    const syntax = [
      ...FLAGS.map(({ name, kind }) => ({ name, boolean: kind === 'boolean' })),
      ...REFUSED_FLAGS,
    ];
    const { values, problems } = parseGoFlags(args, syntax);
    this.#values = values;
    this.#environment = environment;
    this.#problems = [...problems];
    this.#refuse();
  }

  /** @throws ConfigError when anything was wrong. */
  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError('agent options', this.#problems);
  }

  /** Notes what is wrong with an option; without `value` it is not shown. */
  problem(name: FlagName, value: string | undefined, message: string, hint?: string): void {
    this.#problems.push({
      path: this.#find(name).path,
      ...(value === undefined ? {} : { value }),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
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
    if (value === undefined) this.problem(name, text, 'want true or false');
    return value ?? false;
  }

  integer(name: FlagName): number {
    const flag = FLAG_BY_NAME.get(name);
    const text = this.string(name);
    const value = parseGoInteger(text);
    if (flag?.kind !== 'integer' || value === undefined || value < flag.min || value > flag.max) {
      const range = flag?.kind === 'integer' ? ` from ${flag.min} to ${flag.max}` : '';
      this.problem(name, text, `want a whole number${range}`);
      return 0;
    }
    return value;
  }

  optional<Key extends string>(key: Key, name: FlagName): { [K in Key]?: string } {
    const text = this.string(name);
    return (text === '' ? {} : { [key]: text }) as { [K in Key]?: string };
  }

  path(name: FlagName): string {
    const text = this.string(name);
    if (!text.startsWith('/')) this.problem(name, text, 'want an absolute path');
    return text;
  }

  ip<Key extends string>(key: Key, name: FlagName, family?: Family): { [K in Key]?: Ip } {
    const text = this.string(name);
    if (text === '') return {};
    const ip = Ip.tryParse(text);
    if (ip === undefined || (family !== undefined && ip.family !== family)) {
      this.problem(
        name,
        text,
        `want an ${family === 'ipv6' ? 'IPv6' : family === 'ipv4' ? 'IPv4' : 'IP'} address`,
      );
      return {};
    }
    if (ip.isUnspecified || ip.isMulticast || ip.isReserved) {
      this.problem(name, text, 'is not the address of a host');
    }
    return { [key]: ip } as { [K in Key]?: Ip };
  }

  together(first: FlagName, second: FlagName): void {
    const [present, absent] = this.string(first) === '' ? [second, first] : [first, second];
    if (this.string(present) !== '' && this.string(absent) === '') {
      this.problem(present, undefined, `needs --${absent} too`);
    }
  }

  #refuse(): void {
    for (const { name, default: standard, boolean, hint } of REFUSED_FLAGS) {
      const { path, texts } = this.#find(name);
      const same = (text: string) =>
        boolean ? parseGoBoolean(text) === parseGoBoolean(standard) : text === standard;
      const wrong = texts.find(text => !same(text));
      if (wrong !== undefined) {
        this.#problems.push({ path, value: wrong, message: 'is not supported', hint });
      }
    }
  }

  #find(name: string): Given {
    const given = this.#values.get(name);
    if (given !== undefined) return { path: `--${name}`, texts: given };
    const suffix = name.toUpperCase().replaceAll('-', '_');
    for (const variable of [`TULLE_${suffix}`, `FLANNELD_${suffix}`]) {
      const text = this.#environment[variable];
      if (text !== undefined && text !== '') return { path: `$${variable}`, texts: [text] };
    }
    return { path: `--${name}`, texts: [] };
  }
}
