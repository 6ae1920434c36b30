/** Collects everything that is wrong with a topology, so that all of it is reported at once. */

import { defined } from '../../base/defined.ts';
import { messageOf, type Problem } from '../../base/errors.ts';
import { LEAST_MTU } from '../../base/mtu.ts';

/** A veth device has at most 65535. */
const MTU_BOUNDS = [LEAST_MTU.ipv4, 65535] as const;
/** Names become parts of names of links, which have at most 15 bytes. */
const NAME = /^[a-z0-9][a-z0-9-]{0,11}$/;

export class Checks {
  readonly problems: Problem[] = [];

  fail(path: string, value: unknown, message: string, hint?: string): void {
    this.problems.push({ path, message, ...defined({ value, hint }) });
  }

  /** The value that the text stands for; undefined, and a problem, when it stands for none. */
  read<T>(path: string, text: string, parse: (text: string) => T): T | undefined {
    try {
      return parse(text);
    } catch (error) {
      // The message begins with the text, which is shown as the value.
      this.fail(path, text, messageOf(error).replace(`${JSON.stringify(text)} `, ''));
      return undefined;
    }
  }

  /** Of a host, a segment, a container. */
  name(path: string, name: string): void {
    const wanted = '1 to 12 lower-case letters, digits and hyphens, beginning with a letter or digit';
    if (!NAME.test(name)) this.fail(path, name, `is no name: want ${wanted}`);
    // A record in JSON would lose it.
    else if (name in Object.prototype)
      this.fail(path, name, 'means something else in JavaScript', 'choose another name');
  }

  number(path: string, value: number | undefined, [min, max]: readonly [number, number], unit = ''): void {
    if (value === undefined || (value >= min && value <= max)) return;
    this.fail(path, value, `want a number from ${min} to ${max}${unit}`);
  }

  /** @param most what the way carries. */
  mtu(path: string, mtu: number | undefined, most?: number): void {
    const [min, max] = MTU_BOUNDS;
    if (mtu === undefined) return;
    if (!Number.isInteger(mtu) || mtu < min || mtu > max) {
      this.fail(path, mtu, `want a whole number of bytes from ${min} to ${max}`);
    } else if (most !== undefined && mtu > most) {
      this.fail(path, mtu, `is more than its segment carries, ${most}`);
    }
  }

  /** Reports each name that is there a second time. */
  unique(path: string, names: readonly string[], what: string): void {
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) < index)
        this.fail(`${path}[${index}]`, name, `there is ${what} of this name already`);
    }
  }
}

/** What may be written as one text or as several. */
export const listOf = (given: string | readonly string[] | undefined): readonly string[] =>
  given === undefined ? [] : typeof given === 'string' ? [given] : given;
