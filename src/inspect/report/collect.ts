/** Gathers what a report has, from whatever answers: each part that cannot be had says why, and fails nothing else. */
import { readFile } from 'node:fs/promises';
import type { AgentEvent } from '../../api/messages.ts';
import type { Status } from '../../api/status.ts';
import { defined } from '../../base/defined.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import { parallel } from '../../base/parallel.ts';
import { printableLines } from '../../base/printable.ts';
import { packageVersion } from '../../base/version.ts';
import type { HostSummary } from '../../cli/all-hosts.ts';
import { run } from '../../sys/process.ts';
import type { CheckDocument } from '../check/json.ts';
import { redact, redactValue } from './redact.ts';
import { REPORT_COMMANDS, REPORT_FILES } from './sources.ts';

/** One listing of this host. */
export interface ReportPart {
  readonly title: string;
  /** The command that printed it, or the path of the file. */
  readonly source: string;
  readonly text: string;
  /** There was more. */
  readonly isCut?: true;
}

/** The document that `--json` prints, and that the page has inside. */
export interface ReportDocument {
  readonly report: 1;
  /** ISO 8601, UTC. */
  readonly made: string;
  readonly version: string;
  readonly host: string;
  /** As `tulle check --json` prints it; absent where no check was made. */
  readonly check?: CheckDocument;
  readonly status?: Status;
  /** As `tulle status --all-hosts --json` prints them. */
  readonly hosts?: readonly HostSummary[];
  readonly events: readonly AgentEvent[];
  readonly parts: readonly ReportPart[];
  /** What could not be had, one sentence each. */
  readonly missing: readonly string[];
}

/** Where the parts come from that are more than a listing. Each may fail. */
export interface ReportSources {
  readonly host: string;
  readonly status: (signal: AbortSignal) => Promise<Status>;
  readonly events: (signal: AbortSignal) => Promise<readonly AgentEvent[]>;
  /** Absent where it is not wanted. */
  readonly check?: (signal: AbortSignal) => Promise<CheckDocument>;
  readonly hosts: (own: Status, signal: AbortSignal) => Promise<readonly HostSummary[]>;
  /** Programs at links and their maps, for which there is no command; empty where there are none. */
  readonly programs: () => Promise<string>;
}

/** Milliseconds for one command, and characters of what it prints. */
const PATIENCE = 10_000;
const MOST_TEXT = 1_000_000;
const MOST_EVENTS = 1000;
/** Programs at the same time. */
const AT_ONCE = 4;

/** @throws `signal.reason` only */
export async function collectReport(sources: ReportSources, signal: AbortSignal): Promise<ReportDocument> {
  const missing: string[] = [];
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      missing.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  };
  const { check } = sources;
  const status = await attempt('the status', () => sources.status(signal));
  // Beside probes nothing else runs: what it prints of counters would be the report's own.
  const checked = check && (await attempt('the check', () => check(signal)));
  const all = status && (await attempt('the other hosts', () => sources.hosts(status, signal)));
  const events = status && (await attempt('the events', () => sources.events(signal)));
  const programs = await attempt('the programs at links', sources.programs);
  const parts = [
    ...(await commandParts(signal)),
    ...(programs ? [part('programs at links, and the fast path', 'bpf(2)', programs)] : []),
    ...(await fileParts()),
  ];
  return {
    report: 1,
    made: new Date().toISOString(),
    version: packageVersion(),
    host: sources.host,
    ...defined({ check: redactValue(checked), status: redactValue(status), hosts: redactValue(all) }),
    events: (events ?? []).slice(-MOST_EVENTS).map(event => redactValue(event)),
    parts,
    missing,
  };
}

/** A program that is not there, or has nothing to say, is no part of this host. */
async function commandParts(signal: AbortSignal): Promise<ReportPart[]> {
  const parts = await parallel(REPORT_COMMANDS, { limit: AT_ONCE, signal }, async ({ title, command }) => {
    const [program, ...args] = command;
    const text = await output(program, args, signal);
    return text === undefined ? undefined : part(title, command.join(' '), text);
  });
  return parts.filter(one => one !== undefined).filter(({ text }) => text !== '');
}

/** What it prints, or why it does not; undefined where there is no such program. */
async function output(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const options = { signal, anyStatus: true, timeout: PATIENCE, maxOutput: 4 * MOST_TEXT } as const;
    const { status, stdout, stderr } = await run(program, args, options);
    return status !== 0 && stdout.trim() === '' ? stderr : stdout;
  } catch (error) {
    signal.throwIfAborted();
    return isCode(error, 'ENOENT') ? undefined : messageOf(error);
  }
}

async function fileParts(): Promise<ReportPart[]> {
  const read = await Promise.all(
    REPORT_FILES.map(async ({ title, path }) =>
      part(title, path, await readFile(path, 'utf8').catch(() => '')),
    ),
  );
  return read.filter(({ text }) => text !== '');
}

function part(title: string, source: string, whole: string): ReportPart {
  const text = printableLines(redact(whole.slice(0, MOST_TEXT))).trimEnd();
  return { title, source, text, ...(whole.length > MOST_TEXT && { isCut: true }) };
}
