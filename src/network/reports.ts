/** Where the parts of a network report their health and events; the agent implements both. */
import type { AgentEvent, EventType } from '../api/messages.ts';
import type { ConditionName, Warning } from '../api/status.ts';

/** Why a condition does not hold. */
export interface ConditionFailure {
  /** Stable word: `NO_CONFIG`. */
  readonly code: string;
  readonly reason: string;
  readonly hint?: string;
}

/** A warning before it is in force; the id is its owner's own. */
export type OwnedWarning = Omit<Warning, 'since'> & {
  readonly id: string;
  /** The condition that fails because of this, if it does: the cause is reported before its consequences. */
  readonly explains?: ConditionName;
};

export interface HealthReporter {
  /** Sets how one part is; no failure means ok. The same report again changes nothing. */
  report(name: ConditionName, failure?: ConditionFailure): void;

  /** Replaces all warnings of this owner. */
  warn(owner: string, warnings: readonly OwnedWarning[]): void;
}

export interface EventReporter {
  /** @param fields facts that JSON can hold; never a secret. */
  add(
    severity: AgentEvent['severity'],
    type: EventType,
    text: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void;
}
