/**
 * How the agent is, made of conditions. Every part reports its own; the agent's state and the answer of
 * `/readyz` follow from them, so neither can claim what no part has said.
 */
import type { AgentState, Condition, ConditionName, Warning } from '../../api/status.ts';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { Watchable } from '../../base/watchable.ts';
import type { ConditionFailure, HealthReporter, OwnedWarning } from '../../network/reports.ts';
import type { EventLog } from './event-log.ts';

/** In the order in which one needs the other: the first that fails is the reason in the summary. */
const CONDITIONS = {
  underlay: { required: true },
  store: { required: false },
  config: { required: true },
  lease: { required: true },
  dataplane: { required: true },
  firewall: { required: true },
  'subnet-file': { required: true },
  state: { required: false },
} as const satisfies Record<ConditionName, { readonly required: boolean }>;

export interface Summary {
  readonly state: AgentState;
  readonly reason?: string;
  readonly hint?: string;
  readonly since: string;
  /** Containers of this host can talk to those of others, as far as this host knows. */
  readonly ready: boolean;
}

const STARTING: ConditionFailure = { code: 'STARTING', reason: 'not checked yet' };

export class Health implements HealthReporter {
  readonly #clock: Clock;
  readonly #events: EventLog;
  readonly #conditions = new Map<ConditionName, Condition>();
  /** Under `owner/id`. */
  readonly #warnings = new Map<string, Warning & Pick<OwnedWarning, 'explains'>>();
  readonly #summary: Watchable<Summary>;
  #stopping = false;

  constructor(clock: Clock, events: EventLog) {
    this.#clock = clock;
    this.#events = events;
    for (const name of Object.keys(CONDITIONS) as ConditionName[]) {
      this.#conditions.set(name, { name, ok: false, ...CONDITIONS[name], ...STARTING, since: this.#now() });
    }
    this.#summary = new Watchable(this.#summarise());
  }

  /** The newest summary, to be waited for. */
  get summary(): Watchable<Summary> {
    return this.#summary;
  }

  conditions(): readonly Condition[] {
    return [...this.#conditions.values()];
  }

  warnings(): readonly Warning[] {
    return Array.from(this.#warnings.values(), ({ explains: _explains, ...warning }) => warning);
  }

  /** Sets how one part is; no failure means ok. The same report again changes nothing. */
  report(name: ConditionName, failure?: ConditionFailure): void {
    const before = this.#conditions.get(name);
    if (before?.ok === (failure === undefined) && before.code === failure?.code) {
      // The words may differ from try to try ("retry in 3 s"); the condition is the same one.
      if (failure === undefined) return;
      this.#conditions.set(name, { ...before, ...failure });
      return this.#refresh();
    }
    const ok = failure === undefined;
    this.#conditions.set(name, { name, ok, ...CONDITIONS[name], ...failure, since: this.#now() });
    if (failure !== undefined) {
      this.#events.add('warning', 'condition', `${name}: ${failure.reason}`, { condition: name, ...failure });
    } else if (before?.code !== STARTING.code) {
      this.#events.add('info', 'condition', `${name}: recovered`, { condition: name, was: before?.code });
    }
    this.#refresh();
  }

  /** Replaces all warnings whose id begins with `owner/`; each part owns its own. */
  warn(owner: string, warnings: readonly OwnedWarning[]): void {
    const owned = [...this.#warnings.keys()].some(id => id.startsWith(`${owner}/`));
    if (warnings.length === 0 && !owned) return;
    const wanted = new Map(warnings.map(({ id, ...warning }) => [`${owner}/${id}`, warning]));
    for (const [id, { title, code }] of this.#warnings) {
      if (!id.startsWith(`${owner}/`) || wanted.has(id)) continue;
      this.#warnings.delete(id);
      this.#events.add('info', 'warning-ended', `ended: ${title}`, { code });
    }
    for (const [id, warning] of wanted) {
      const since = this.#warnings.get(id)?.since;
      this.#warnings.set(id, { ...warning, since: since ?? this.#now() });
      if (since === undefined) {
        this.#events.add(warning.severity, 'warning', `${warning.title}: ${warning.text}`, {
          code: warning.code,
        });
      }
    }
    this.#refresh();
  }

  stopping(): void {
    this.#stopping = true;
    this.#refresh();
  }

  #refresh(): void {
    const before = this.#summary.value;
    const after = this.#summarise();
    const same = after.state === before.state;
    const isReported = same && after.reason === before.reason && after.hint === before.hint;
    if (isReported && after.ready === before.ready) return;
    this.#summary.set(same ? { ...after, since: before.since } : after);
    if (same) return;
    const reason = after.reason === undefined ? '' : `: ${after.reason}`;
    this.#events.add('info', 'state', `the agent is ${after.state}${reason}`, {
      from: before.state,
      to: after.state,
    });
  }

  #summarise(): Summary {
    const failing = this.conditions().filter(({ ok }) => !ok);
    const missing = failing.filter(({ required }) => required);
    const ready = missing.length === 0 && !this.#stopping;
    const since = this.#now();
    if (this.#stopping) return { state: 'stopping', since, ready };
    // A store that does not answer explains a missing configuration better than its being missing.
    const cause = failing.find(known) ?? missing[0];
    const warning = this.#warningToTell(cause?.name);
    if (cause === undefined && warning === undefined) return { state: 'ready', since, ready };
    const started = failing.some(known);
    const state = missing.length === 0 ? 'degraded' : started ? 'waiting' : 'starting';
    const reason = warning?.title ?? cause?.reason ?? '';
    return { state, reason, ...defined({ hint: (warning ?? cause)?.hint }), since, ready };
  }

  /** What explains the condition that fails; when none does, the worst there is. */
  #warningToTell(failing: ConditionName | undefined): Warning | undefined {
    const all = [...this.#warnings.values()];
    if (failing !== undefined) return all.find(({ explains }) => explains === failing);
    return (
      all.find(({ severity }) => severity === 'error') ?? all.find(({ severity }) => severity === 'warning')
    );
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

/** Whether a part has said something about itself yet. */
const known = ({ code }: Condition) => code !== STARTING.code;
