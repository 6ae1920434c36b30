/**
 * The seam between what the firewall should be and the two programs that can make it so. An engine reads the
 * kernel, compares, and says how to get from one to the other; it never decides when.
 */
import { TulleError } from '../base/errors.ts';
import type { Family } from '../base/ip.ts';
import type { RunOptions, RunResult } from '../sys/process.ts';
import type { RuleSet } from './rules.ts';

export type FirewallErrorCode =
  /** The program that the engine needs is not installed. */
  | 'NO_PROGRAM'
  /** The program refused its input. */
  | 'REFUSED'
  /** Another program holds the lock of the rules, and did not release it in time. */
  | 'LOCKED'
  /** The program reported success, but its listing shows other rules. */
  | 'NOT_APPLIED'
  /** The program's output is not what this version of Tulle understands. */
  | 'PROTOCOL';

/** The firewall cannot be read or changed. */
export class FirewallError extends TulleError<FirewallErrorCode> {}

/** `run` of src/sys/process.ts; a test may count or fail its calls. */
export type RunProgram = (
  program: string,
  args: readonly string[],
  options?: Pick<RunOptions, 'input' | 'anyStatus'>,
) => Promise<RunResult>;

/** The rules of both families; NO_RULES for a family that is not in use. */
export type Wanted = Readonly<Record<Family, RuleSet>>;

/** One atomic step towards the wanted rules. */
export interface FirewallChange {
  /** What is not as wanted, one sentence each. */
  readonly differences: readonly string[];
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string;
}

export type EngineName = 'iptables' | 'nftables';

/** A rule of another program that stops the overlay and that is not ours to change. */
export interface Obstacle {
  /** The same for what has one remedy. */
  readonly id: string;
  readonly text: string;
  readonly hint: string;
}

/** What an engine found. */
export interface Plan {
  /** Empty when everything is as wanted. */
  readonly changes: readonly FirewallChange[];
  readonly obstacles: readonly Obstacle[];
  /** Whether tunnel packets need an accept for each peer. */
  readonly isInputGuarded: boolean;
  /** Whether there are rules at all, ours or others'. */
  readonly isInUse: boolean;
}

export interface RuleEngine {
  /** Reads the kernel and compares. @throws FirewallError */
  plan(wanted: Wanted): Promise<Plan>;
  /** After a plan was carried out: whether the kernel has the wanted rules now. @throws FirewallError */
  verify(wanted: Wanted): Promise<void>;
}

/** Exit status of iptables-restore that could not get the lock (include/xtables.h, RESOURCE_PROBLEM). */
const RESOURCE_PROBLEM = 4;

/** Why a program did not do what it was asked. */
export function refusalOf(
  program: string,
  result: RunResult,
  differences: readonly string[] = [],
): FirewallError {
  const complaint = complaintOf(result);
  const isLocked = result.status === RESOURCE_PROBLEM && /\block\b/.test(complaint);
  return new FirewallError(isLocked ? 'LOCKED' : 'REFUSED', `${program}: ${complaint}`, {
    op: program,
    context: { differences },
    ...(isLocked && { hint: 'another program holds /run/xtables.lock; `fuser /run/xtables.lock` names it' }),
  });
}

/** What a program said went wrong, without the lines that only explain. */
function complaintOf({ status, stderr }: RunResult): string {
  const lines = stderr.split('\n').map(line => line.trim());
  const first = lines.find(line => line !== '' && !line.startsWith('#')) ?? `exit status ${status}`;
  return first.replace(/\.$/, '');
}
