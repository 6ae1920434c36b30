/** Reports on plans: conditions and warnings of the one in use, and events when it changes. */

import type { Underlay } from '../backend/backend.ts';
import { formatProblem } from '../base/errors.ts';
import { isObject } from '../base/fields.ts';
import { FAMILIES, FAMILY_LABELS, type Ip } from '../base/ip.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { ActivePlan } from './active-plan.ts';
import { HANDOVER_TITLE, type Handover, handoverText, handoverWarning } from './handover.ts';
import type { HostPlan, PlanRefusal } from './host-plan.ts';
import type { EventReporter, HealthReporter, OwnedWarning } from './reports.ts';
import type { WayMove } from './ways/ways.ts';

export class PlanReporter {
  readonly health: HealthReporter;
  readonly #events: EventReporter;

  constructor(health: HealthReporter, events: EventReporter) {
    this.health = health;
    this.#events = events;
  }

  /** Why the configuration in the store is not in use; undefined when it is. @param isInUse whether another one is. */
  refusal(refusal: PlanRefusal | undefined, isInUse: boolean): void {
    this.health.report('config', isInUse ? undefined : refusal?.failure);
    this.health.warn(
      'config',
      isInUse && refusal !== undefined
        ? [
            {
              id: 'refused',
              code: 'CONFIG_REFUSED',
              severity: 'warning',
              title: 'the network configuration in the store is not the one in use',
              text: refusal.failure.reason,
              ...(refusal.failure.hint === undefined ? {} : { hint: refusal.failure.hint }),
            },
          ]
        : [],
    );
  }

  /** Why the underlay can no longer carry the network in use; undefined when it can. */
  misfit(refusal: PlanRefusal | undefined): void {
    this.health.warn('misfit', refusal === undefined ? [] : [underlayUnfit(refusal)]);
  }

  /** A step of a handover begins. */
  step(handover: Handover): void {
    this.#emitStep(handoverText(handover));
  }

  handoverEnds(handover: Handover): void {
    this.#emitStep(handoverText(handover, true));
  }

  /** Which step it is in. @param leftBehind keys of the peers that have not followed. */
  handover(handover: Handover | undefined, leftBehind: readonly string[]): void {
    this.health.warn('handover', handover ? [handoverWarning(handover, leftBehind)] : []);
  }

  /** Another plan is in use: one event for the underlay and one for the network, where they differ. */
  changed(before: ActivePlan, after: ActivePlan): void {
    const underlay = differences(underlayFacts(before.plan.underlay), underlayFacts(after.plan.underlay));
    const network = differences(networkFacts(before.plan), networkFacts(after.plan));
    if (underlay.length > 0) {
      this.#events.add('info', 'underlay-changed', `the underlay has changed: ${underlay.join(', ')}`);
    }
    if (network.length > 0) {
      this.#events.add('info', 'network-changed', `the network has changed: ${network.join(', ')}`);
    }
  }

  /** A peer is reached over another way. */
  moved({ key, family, before, status }: WayMove): void {
    const { inUse, name, others } = status;
    const left = others.find(({ type }) => type === before);
    const isBetter = left?.failedSince === undefined && left?.obstacle === undefined;
    const why = left?.obstacle ?? (isBetter ? 'it answers again' : `it does not answer over ${left.name}`);
    const text = `the peer ${key} is reached over ${name}: ${why}`;
    this.#events.add('info', 'peer-way', text, { key, family, way: inUse, before });
  }

  #emitStep(text: string): void {
    this.#events.add('info', 'handover', `${HANDOVER_TITLE}: ${text}`);
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

function underlayUnfit({ problems }: PlanRefusal): OwnedWarning {
  return {
    id: 'underlay',
    code: 'UNDERLAY_UNFIT',
    severity: 'error',
    title: 'the underlay has changed, and cannot carry the network in use',
    text: `${problems.map(formatProblem).join('; ')}: the tunnel stays as it was, and loses what the underlay does not carry`,
    hint: 'raise the MTU of the underlay or correct its address, or choose another interface with --iface',
  };
}

/** Facts by name, as text; undefined where there is none. */
type Facts = Readonly<Record<string, string | undefined>>;

function underlayFacts({ link, ip, publicIp }: Underlay): Facts {
  const facts = (what: string, addresses: PerFamily<Ip>) =>
    FAMILIES.map(
      family => [`${what}${FAMILY_LABELS[family]} address`, addresses[family]?.toString()] as const,
    );
  return {
    interface: link.name,
    index: `${link.index}`,
    MTU: `${link.mtu}`,
    ...Object.fromEntries([...facts('', ip), ...facts('public ', publicIp)]),
  };
}

function networkFacts({ config: { backend, ...config } }: HostPlan): Facts {
  // The values print themselves as JSON, as they stand in the configuration.
  const written = JSON.stringify({ ...config, Backend: { ...backend.options, Type: backend.type } });
  return Object.fromEntries(flatten(JSON.parse(written)));
}

/** Every value inside, by its path. */
function* flatten(value: unknown, path = ''): Generator<[string, string]> {
  if (!isObject(value)) {
    yield [path, typeof value === 'string' ? value : JSON.stringify(value)];
    return;
  }
  for (const [name, member] of Object.entries(value))
    yield* flatten(member, path === '' ? name : `${path}.${name}`);
}

function differences(before: Facts, after: Facts): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return Array.from(names)
    .filter(name => before[name] !== after[name])
    .map(name => `${name} ${after[name] ?? 'none'} instead of ${before[name] ?? 'none'}`);
}
