/** What the controller has to tell: to the conditions and warnings what is so, to the events what has changed. */

import { formatProblem, type Problem } from '../base/errors.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import { bridgeWarnings } from './bridges.ts';
import { type Handover, handoverWarning } from './handover.ts';
import type { PlanRefusal } from './host-plan.ts';
import { emitChanges } from './plan-changes.ts';
import type { EventReporter, HealthReporter, OwnedWarning } from './reports.ts';
import type { HostNetwork } from './underlay.ts';

export class PlanEvents {
  readonly #health: HealthReporter;
  readonly #events: EventReporter;
  /** Subnets that this host had since the agent started. */
  readonly #former: Subnet[] = [];

  constructor(health: HealthReporter, events: EventReporter) {
    this.#health = health;
    this.#events = events;
  }

  /** Why the configuration in the store is not in use; undefined when it is. @param isInUse whether another one is. */
  refusal(refusal: PlanRefusal | undefined, isInUse: boolean): void {
    this.#health.report('config', isInUse ? undefined : refusal?.trouble);
    this.#health.warn(
      'config',
      isInUse && refusal !== undefined
        ? [
            {
              id: 'refused',
              code: 'CONFIG_REFUSED',
              severity: 'warning',
              title: 'the network configuration in the store is not the one in use',
              text: refusal.trouble.reason,
              ...(refusal.trouble.hint === undefined ? {} : { hint: refusal.trouble.hint }),
            },
          ]
        : [],
    );
  }

  /** A step of a handover begins. */
  step({ step, devices: { from, to } }: Handover): void {
    this.#emitStep(
      step === 'preparing'
        ? `${to} is made, and ${from} stays in use`
        : `${to} is in use and published, and ${from} stays until every peer has followed`,
    );
  }

  handoverEnds({ devices: { from } }: Handover): void {
    this.#emitStep(`every peer has followed, and ${from} goes`);
  }

  /** Which step it is in. @param leftBehind keys of the peers that have not followed. */
  handover(handover: Handover | undefined, leftBehind: readonly string[]): void {
    this.#health.warn('handover', handover ? [handoverWarning(handover, leftBehind)] : []);
  }

  /** Something else is in use. */
  changed(before: ActivePlan, after: ActivePlan): void {
    emitChanges(this.#events, before, after);
    if (before.lease.key !== after.lease.key) this.#former.push(before.lease.subnet);
  }

  /** What this host's network has to do with what is in use. */
  surroundings(network: HostNetwork, used: ActivePlan): void {
    this.#health.warn('bridge', bridgeWarnings(network, { ...used, former: this.#former }));
    const link = network.links.find(({ index }) => index === used.plan.underlay.link.index);
    const isCut = link?.up === true && !link.running;
    this.#health.warn('left-out', used.plan.backend.leftOut.map(leftOut));
    this.#health.warn('carrier', isCut ? [noCarrier(link.name)] : []);
  }

  #emitStep(text: string): void {
    this.#events.add('info', 'handover', `the network goes over to another device: ${text}`);
  }

  /** Nothing, or not everything, can be made of what a peer says; or, without problems, everything again. */
  peer(key: string, problems: readonly string[], isReached: boolean): void {
    if (problems.length === 0) {
      this.#events.add('info', 'peer-reachable', `the peer ${key} can be reached now`, { key });
      return;
    }
    const reasons = problems.join('; ');
    const facts = { key, problems };
    if (isReached) {
      const text = `the peer ${key} is reached as before, or in part: ${reasons}`;
      this.#events.add('info', 'peer-differs', text, facts);
    } else {
      const text = `the peer ${key} cannot be reached: ${reasons}`;
      this.#events.add('warning', 'peer-unreachable', text, facts);
    }
  }
}

function leftOut(problem: Problem): OwnedWarning {
  return {
    id: problem.path,
    code: 'FAMILY_LEFT_OUT',
    severity: 'error',
    title: 'one family of the network cannot be carried by the underlay',
    text: `${formatProblem(problem)}: containers of this host do not reach others with it`,
    hint: 'raise the MTU of the underlay; the other family works on',
  };
}

function noCarrier(name: string): OwnedWarning {
  return {
    id: name,
    code: 'NO_CARRIER',
    severity: 'error',
    explains: 'store',
    title: 'the underlay interface has no carrier',
    text: `${name} is up, and nothing is at its other end: no packet leaves this host for its peers`,
    hint: 'look at the cable, the switch port, or the other end of a virtual link',
  };
}
