/**
 * Follows the rules of this host for the fast path: at each change it says so at once, so that all flows prove themselves
 * anew, and then it says which rules judge each packet, if any.
 *
 * What changes in the legacy iptables nobody announces: a new table is found within a second, and a rule that stops a flow
 * by the flow itself, whose proof ends.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { Watchable } from '../../base/watchable.ts';
import type { Netns } from '../../sys/netns.ts';
import { hasLegacyTables, ruleChanges, watchLegacyTables } from '../changes.ts';
import type { RunProgram } from '../engine.ts';
import type { FastTraffic } from './conditions.ts';
import type { JudgingRule } from './judging-rule.ts';
import { judgingRules } from './read-judging.ts';

export interface RuleWatchOptions {
  readonly netns: Netns;
  /** Starts programs in the namespace. */
  readonly run: RunProgram;
  readonly clock: Clock;
  readonly log: Logger;
  /** Rules have changed: within milliseconds, but at most ten times a second. */
  readonly onChange: () => void;
  /** Asked at each reading. */
  readonly traffic?: () => FastTraffic;
}

/** Milliseconds between two changes that are told of. */
const REST = 100;
/** Between two looks at which tables the legacy iptables has, and at its rules if it has one. */
const LEGACY_LOOK = 1000;
const LEGACY_READ = 10_000;
/** After a failure. */
const RETRY = 5000;
/** More than the timers of any machine count. */
const NEVER = 2 ** 31 - 1;

export class RuleWatch {
  readonly #options: RuleWatchOptions;
  readonly #wakeup: Wakeup;
  readonly #judging = new Watchable<readonly JudgingRule[] | undefined>(undefined);

  constructor(options: RuleWatchOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
  }

  /** undefined until they are known for the first time. What cannot be read stays as it was known last. */
  get judging(): Watchable<readonly JudgingRule[] | undefined> {
    return this.#judging;
  }

  /** Reads the rules again, for traffic that is another now. */
  reread(): void {
    this.#wakeup.wake();
  }

  /** Until the signal aborts, which ends it without an error. */
  async run(signal: AbortSignal): Promise<void> {
    const { netns, clock } = this.#options;
    const onChange = () => this.#changed();
    await Promise.all([
      this.#follow(signal),
      watchLegacyTables(netns, { clock, interval: LEGACY_LOOK, onChange }, signal),
      this.#read(signal),
    ]);
  }

  #changed(): void {
    this.#options.onChange();
    this.#wakeup.wake();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { netns, clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        for await (const _ of ruleChanges(netns, signal)) {
          this.#changed();
          await clock.sleep(REST, signal).catch(() => undefined);
        }
      } catch (error) {
        log.warn(
          { err: error },
          'changes of rules are not announced; the fast path notices them half a second later',
        );
        await clock.sleep(RETRY, signal).catch(() => undefined);
        this.#changed();
      }
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { netns, run, clock, log, traffic } = this.#options;
    const pace = new Pace(clock);
    let hasFailed = false;
    while (!signal.aborted) {
      pace.begin();
      try {
        const found = await judgingRules(netns, run, traffic?.());
        if (String(keysOf(found)) !== String(keysOf(this.#judging.value))) this.#judging.set(found);
        hasFailed = false;
      } catch (error) {
        if (!hasFailed) log.warn({ err: error }, 'rules that judge each packet cannot be read');
        hasFailed = true;
      }
      await pace.rest(signal);
      await this.#wakeup.pause(hasFailed ? RETRY : hasLegacyTables(netns) ? LEGACY_READ : NEVER, signal);
    }
  }
}

const keysOf = (rules: readonly JudgingRule[] | undefined) =>
  rules?.map(({ where, rule, look }) => `${where}\n${rule}\n${look}`);
