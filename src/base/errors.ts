/**
 * The root of every error Tulle throws on purpose. Each boundary has exactly one subclass: SysError and
 * NetlinkError for the kernel, StoreError for the registry's store, CodecError for bytes, ConfigError for
 * what people write, UsageError for what they type. Expected outcomes (a lost compare-and-swap, "already
 * gone") are values, not errors.
 */
import { abridge } from './printable.ts';

/** Characters of a value that a message shows. A wrong value of another program may have a megabyte. */
const MOST_OF_A_VALUE = 200;

export interface TulleErrorOptions {
  /** What was being done, in the vocabulary of the boundary: `RTM_NEWLINK`, `connect`, `txn`. */
  readonly op?: string;
  /** What the user can do about it, one sentence. */
  readonly hint?: string;
  /** Facts that help to find the place: names, indexes, keys. Never a secret. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class TulleError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly op: string | undefined;
  readonly hint: string | undefined;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: Code, message: string, options: TulleErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.op = options.op;
    this.hint = options.hint;
    this.context = options.context ?? {};
  }
}

/** Bytes that are not what their format promises. Never thrown for input that is merely incomplete. */
export class CodecError extends TulleError<'MALFORMED'> {
  constructor(what: string, offset: number, want: string, got: string) {
    super('MALFORMED', `${what}: want ${want} at byte ${offset}, got ${got}`, { context: { what, offset } });
  }
}

/** A text that does not parse as the value it should be: an address, a prefix, a key. */
export class ParseError extends TulleError<'INVALID_VALUE'> {
  constructor(what: string, text: string, reason: string, hint?: string) {
    super(
      'INVALID_VALUE',
      `${JSON.stringify(abridge(text, MOST_OF_A_VALUE))} is not ${what}: ${reason}`,
      hint === undefined ? {} : { hint },
    );
  }
}

/** One thing wrong with what a person wrote. */
export interface Problem {
  /** Dotted path of the field: `Backend.VNI`, `--healthz-port`, `$FLANNELD_IFACE`. */
  readonly path: string;
  /** The offending value as it was given; absent when the value itself is missing. */
  readonly value?: unknown;
  /** What is wrong with it. */
  readonly message: string;
  readonly hint?: string;
}

/** Input from the user is invalid; carries every problem found, not only the first. */
export class ConfigError extends TulleError<'INVALID_CONFIG'> {
  readonly subject: string;
  readonly problems: readonly Problem[];

  constructor(subject: string, problems: readonly Problem[]) {
    super('INVALID_CONFIG', `${subject}: ${problems.map(formatProblem).join('; ')}`);
    this.subject = subject;
    this.problems = problems;
  }
}

/** One line for one problem: `Backend.VNI = 16777216: must be between 1 and 16777215 (hint)`. */
export function formatProblem({ path, value, message, hint }: Problem): string {
  const shown = value === undefined ? '' : ` = ${abridge(JSON.stringify(value) ?? '', MOST_OF_A_VALUE)}`;
  return `${path}${shown}: ${message}${hint ? ` (${hint})` : ''}`;
}

/** The text of anything thrown, with its causes: `a: b: c`. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return `${error.message}: ${error.errors.map(messageOf).join('; ')}`;
  }
  if (!(error instanceof Error)) return String(error);
  if (error.cause === undefined) return error.message;
  const cause = messageOf(error.cause);
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}

/** Whether an error carries this `code`, of whatever class it is: `isCode(e, 'EEXIST')` serves Node, libc and netlink. */
export function isCode<Code extends string>(
  error: unknown,
  ...codes: Code[]
): error is Error & { code: Code } {
  return error instanceof Error && 'code' in error && codes.includes(error.code as Code);
}

/** Marks a place that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new TypeError(`unreachable: ${JSON.stringify(value)}`);
}
