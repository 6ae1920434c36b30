/** An error as a person reads it: `tulle: error: ...` on one line, the problems if there are several, a hint. */
import process from 'node:process';
import { CommanderError } from 'commander';
import { ConfigError, formatProblem, messageOf, TulleError } from '../base/errors.ts';
import { abridge } from '../base/printable.ts';
import { packageVersion } from '../base/version.ts';
import { Interrupted } from './errors.ts';
import { EXIT, OUTCOME_OF_CODE, SIGNAL_BASE } from './exit-codes.ts';

export interface Report {
  readonly status: number;
  /** For stderr; empty when nothing needs to be said. */
  readonly lines: readonly string[];
}

/** Commander throws these to end a run that went well. */
const ENDED_WELL = ['commander.helpDisplayed', 'commander.version'];

export function reportOf(error: unknown, options: { readonly stack: boolean }): Report {
  if (error instanceof CommanderError) return reportOfUsage(error);
  if (error instanceof Interrupted) return { status: SIGNAL_BASE + error.number, lines: [] };
  const status = statusOf(error);
  if (status !== undefined) {
    const hint = hintOf(error);
    const lines = [...headline(error), ...(hint === undefined ? [] : [`hint: ${oneLine(hint)}`])];
    return { status, lines: options.stack ? [...lines, ...stackOf(error)] : lines };
  }
  return reportOfDefect(error);
}

/** An unexpected error: all that is needed to find out where it came from. */
export function reportOfDefect(error: unknown): Report {
  return {
    status: EXIT.internal.status,
    lines: [
      `tulle: error: internal error: ${oneLine(messageOf(error))}`,
      ...stackOf(error),
      `  tulle ${packageVersion()}, Node.js ${process.versions.node}, ${process.platform} ${process.arch}`,
      'hint: this is a defect in Tulle; report it with these lines',
    ],
  };
}

function headline(error: unknown): string[] {
  if (error instanceof ConfigError && error.problems.length > 1) {
    return [
      `tulle: error: ${error.subject}: ${error.problems.length} problems`,
      ...error.problems.map(problem => `  ${oneLine(formatProblem(problem))}`),
    ];
  }
  return [`tulle: error: ${oneLine(messageOf(error))}`];
}

function reportOfUsage(error: CommanderError): Report {
  if (ENDED_WELL.includes(error.code)) return { status: EXIT.ok.status, lines: [] };
  // `tulle` and `tulle lab` alone have already shown their help.
  if (error.code === 'commander.help') return { status: EXIT.usage.status, lines: [] };
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const hint = suggestion?.replace(/^\(Did you mean (.*)\?\)$/, "did you mean '$1'?");
  return {
    status: EXIT.usage.status,
    lines: [
      `tulle: error: ${oneLine(message)}`,
      `hint: ${hint ?? "'--help' after the command shows how it is used"}`,
    ],
  };
}

/** undefined for an unexpected error. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof AggregateError) {
    const statuses = new Set(error.errors.map(statusOf));
    if (statuses.has(undefined)) return undefined;
    return statuses.size === 1 ? [...statuses][0] : EXIT.failed.status;
  }
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const foreseen = error instanceof TulleError || 'syscall' in error;
  if (!foreseen || code === undefined) return undefined;
  return EXIT[OUTCOME_OF_CODE[code] ?? 'failed'].status;
}

/** The hint nearest to what the person did: the outermost of the chain. */
function hintOf(error: unknown): string | undefined {
  if (error instanceof TulleError && error.hint !== undefined) return error.hint;
  if (error instanceof Error && error.cause !== undefined) return hintOf(error.cause);
  return undefined;
}

const stackOf = (error: unknown) =>
  error instanceof Error ? (error.stack ?? '').split('\n').slice(1).map(oneLine) : [];

/** Characters of a message: the text of a cause may be of any length. */
const MOST_CHARACTERS = 2000;

const oneLine = (text: string) => abridge(text.replace(/\s*\n\s*/g, ' '), MOST_CHARACTERS);
