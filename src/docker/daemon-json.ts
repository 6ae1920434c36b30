/**
 * dockerd's configuration file, changed member by member. All else of the text stays as its author wrote it: order, white
 * space, numbers that JavaScript would round.
 *
 *     { "log-level": "warn", "bip": "172.30.0.1/16" }
 *       └── key ───┘  └ value ┘
 *
 * It is JSON and nothing more (RFC 8259): dockerd refuses comments and trailing commas, too.
 */
import { ConfigError } from '../base/errors.ts';

/** dockerd's own are below 4 KiB. */
const MOST_BYTES = 1 << 20;
/** dockerd's own are below 5. */
const MOST_DEPTH = 100;

/** A member of the object, by offsets in the text. */
interface Member {
  readonly key: string;
  readonly start: number;
  readonly valueStart: number;
  /** After the value. */
  readonly end: number;
}

export class DaemonJson {
  readonly text: string;
  readonly #members: readonly Member[];

  private constructor(text: string, members: readonly Member[]) {
    this.text = text;
    this.#members = members;
  }

  /**
   * @param text an empty one, as of a file that is not there, has no members
   * @param path for messages
   * @throws ConfigError with line and column of what is no JSON, or not what dockerd reads
   */
  static parse(text: string, path = 'daemon.json'): DaemonJson {
    if (text.length > MOST_BYTES) {
      throw new ConfigError(path, [
        { path: 'size', value: text.length, message: `want at most ${MOST_BYTES}` },
      ]);
    }
    if (text.trim() === '') return new DaemonJson('{}\n', []);
    const scanner = new Scanner(text);
    try {
      return new DaemonJson(text, scanner.object());
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      throw new ConfigError(path, [{ path: placeOf(text, error.offset), message: error.message }]);
    }
  }

  get keys(): readonly string[] {
    return this.#members.map(({ key }) => key);
  }

  /** undefined: there is no such member. */
  value(key: string): unknown {
    const raw = this.raw(key);
    return raw === undefined ? undefined : JSON.parse(raw);
  }

  /** The text of a value. */
  raw(key: string): string | undefined {
    const member = this.#members.find(each => each.key === key);
    return member && this.text.slice(member.valueStart, member.end);
  }

  /** With another value in place of a former one, or as the last member. */
  with(key: string, value: unknown): DaemonJson {
    const at = this.#members.find(each => each.key === key);
    const last = this.#members.at(-1);
    const text = jsonOf(value);
    if (at !== undefined) return this.#spliced(at.valueStart, at.end, text);
    const member = `${JSON.stringify(key)}: ${text}`;
    if (last === undefined) {
      return this.#spliced(this.text.indexOf('{') + 1, this.text.lastIndexOf('}'), `\n  ${member}\n`);
    }
    return this.#spliced(last.end, last.end, `,${this.#spaceBefore(last) || ' '}${member}`);
  }

  without(key: string): DaemonJson {
    const index = this.#members.findIndex(each => each.key === key);
    const [before, at, after] = [this.#members[index - 1], this.#members[index], this.#members[index + 1]];
    if (at === undefined) return this;
    if (after !== undefined) return this.#spliced(at.start, after.start, '');
    return this.#spliced(before?.end ?? at.start, at.end, '');
  }

  /** The white space between the comma, or the brace, and the key. */
  #spaceBefore({ start }: Member): string {
    return /\s*$/.exec(this.text.slice(0, start))?.[0] ?? '';
  }

  #spliced(start: number, end: number, text: string): DaemonJson {
    return DaemonJson.parse(this.text.slice(0, start) + text + this.text.slice(end));
  }
}

/** As people write it in one line: `["a", "b"]`. */
const jsonOf = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(each => JSON.stringify(each)).join(', ')}]` : JSON.stringify(value);

function placeOf(text: string, offset: number): string {
  const lines = text.slice(0, offset).split('\n');
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

class Misfit extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/uy;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** Goes over a text once, and knows where it is. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The members of a text that is one object. */
  object(): Member[] {
    this.#skip(SPACE);
    if (this.#text[this.#at] !== '{') throw new Misfit(this.#at, 'want an object: { ... }');
    const members: Member[] = [];
    this.#list('}', depth => {
      const start = this.#at;
      const key = this.#key();
      if (members.some(each => each.key === key)) {
        throw new Misfit(start, `${JSON.stringify(key)} is there twice`);
      }
      const valueStart = this.#at;
      this.#value(depth);
      members.push({ key, start, valueStart, end: this.#at });
    });
    this.#skip(SPACE);
    if (this.#at < this.#text.length) throw new Misfit(this.#at, 'want nothing after the object');
    return members;
  }

  /** From an opening bracket to after the closing one. */
  #list(closing: string, item: (depth: number) => void, depth = 0): void {
    if (depth > MOST_DEPTH) throw new Misfit(this.#at, `want at most ${MOST_DEPTH} levels`);
    this.#at++;
    this.#skip(SPACE);
    if (this.#takes(closing)) return;
    do {
      this.#skip(SPACE);
      item(depth + 1);
      this.#skip(SPACE);
    } while (this.#takes(','));
    if (!this.#takes(closing)) throw new Misfit(this.#at, `want "," or "${closing}"`);
  }

  #key(): string {
    const start = this.#at;
    if (!this.#skip(STRING)) throw new Misfit(start, 'want a key in double quotes');
    const key = JSON.parse(this.#text.slice(start, this.#at)) as string;
    this.#skip(SPACE);
    if (!this.#takes(':')) throw new Misfit(this.#at, `want ":" after ${JSON.stringify(key)}`);
    this.#skip(SPACE);
    return key;
  }

  #value(depth: number): void {
    const first = this.#text[this.#at];
    if (first === '{') {
      this.#list('}', next => this.#member(next), depth);
    } else if (first === '[') {
      this.#list(']', next => this.#value(next), depth);
    } else if (!this.#skip(STRING) && !this.#skip(NUMBER) && !this.#skip(WORD)) {
      throw new Misfit(this.#at, first === '"' ? 'want a text that ends in this line' : 'want a value');
    }
  }

  #member(depth: number): void {
    this.#key();
    this.#value(depth);
  }

  #takes(character: string): boolean {
    const is = this.#text[this.#at] === character;
    if (is) this.#at++;
    return is;
  }

  /** False: not here. */
  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    this.#at += found?.length ?? 0;
    return found !== undefined;
  }
}
