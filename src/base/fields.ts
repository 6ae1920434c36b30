/**
 * The members of a JSON object as people write them for flannel, read the way Go's encoding/json reads them:
 * names without regard to case, the last of several spellings wins, `null` is absence, unknown names are
 * tolerated. Wrong values become Problems, so that all of them are reported at once; the getters then return
 * undefined.
 */
import type { Problem } from './errors.ts';
import { FAMILY_LABELS, type Family, Ip } from './ip.ts';
import { nearest } from './nearest.ts';

export class Fields {
  readonly #path: string;
  readonly #problems: Problem[];
  /** By folded name. */
  readonly #members = new Map<string, { readonly name: string; readonly value: unknown }>();
  /** What was asked for, by folded name. */
  readonly #asked = new Map<string, string>();

  /** @param path where the object stands, for the paths of its problems; empty for the outermost. */
  constructor(object: object, path: string, problems: Problem[]) {
    this.#path = path;
    this.#problems = problems;
    for (const [name, value] of Object.entries(object)) {
      this.#members.set(fold(name), { name, value });
    }
  }

  /** The value as it is, null included; undefined when the member is missing. */
  value(name: string): unknown {
    const folded = fold(name);
    this.#asked.set(folded, name);
    return this.#members.get(folded)?.value;
  }

  text(name: string): string | undefined {
    const value = this.value(name) ?? undefined;
    if (value === undefined || typeof value === 'string') return value;
    return this.problem(name, 'must be a string');
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name) ?? undefined;
    if (value === undefined || typeof value === 'boolean') return value;
    return this.problem(name, 'must be true or false');
  }

  integer(name: string, range: { readonly min: number; readonly max: number }): number | undefined {
    const value = this.value(name) ?? undefined;
    if (value === undefined) return undefined;
    // Go reads -0 into no unsigned integer.
    if (!Number.isInteger(value) || Object.is(value, -0)) return this.problem(name, 'must be a whole number');
    const number = value as number;
    if (number >= range.min && number <= range.max) return number;
    return this.problem(name, `must be between ${range.min} and ${range.max}`);
  }

  /** The value through `parse`, which throws for what it does not like. */
  parsed<T>(name: string, parse: (text: string) => T, what: string): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch {
      return this.problem(name, `must be ${what}`);
    }
  }

  /** An address; the unspecified one counts as unset. flannel's type for IPv4 takes no `null`, and that for IPv6 does. */
  address(name: string, family: Family): Ip | undefined {
    const what = `an ${FAMILY_LABELS[family]} address`;
    if (family === 'ipv4' && this.value(name) === null) return this.problem(name, `must be ${what}`);
    const ip = this.parsed(name, Ip.parse, what);
    if (ip === undefined || ip.isUnspecified) return undefined;
    return ip.family === family ? ip : this.problem(name, `must be ${what}`);
  }

  /** Reports a problem with one member, with its value. */
  problem(name: string, message: string, hint?: string): undefined {
    const value = this.value(name);
    this.#problems.push({
      path: this.pathOf(name),
      message,
      ...(value === undefined ? {} : { value }),
      ...(hint === undefined ? {} : { hint }),
    });
    return undefined;
  }

  pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  /** The members that were not asked for, as they were spelled: most likely mistakes. */
  unknown(): readonly string[] {
    return [...this.#members].filter(([key]) => !this.#asked.has(key)).map(([, { name }]) => name);
  }

  /** A problem for each of them. @param what the object is: `the network configuration` */
  unknownProblems(what: string): readonly Problem[] {
    return this.unknown().map(name => {
      const near = nearest(fold(name), this.#asked.keys());
      return {
        path: this.pathOf(name),
        message: `is not a key of ${what} and has no effect`,
        ...(near === undefined ? {} : { hint: `did you mean ${this.#asked.get(near)}?` }),
      };
    });
  }
}

/** Names that encoding/json takes for the same, which folds one letter more than JavaScript does. */
function fold(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes('\u017f') ? lower.replaceAll('\u017f', 's') : lower;
}

/** Whether a value is what JSON calls an object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
