/** What is reported of the L2 networks of this host: warnings while something is wrong, events when something happens. */

import { defined } from '../../base/defined.ts';
import { enumerate } from '../../base/enumerate.ts';
import { formatProblem, messageOf } from '../../base/errors.ts';
import type { LinkReport } from '../../dataplane/report.ts';
import type { PresenceState } from '../../subnet/segment/presence.ts';
import { type EndpointConflict, isMacConflict } from '../../subnet/segment/presence-plan.ts';
import { nameOfHost, type Segment } from '../../subnet/segment/segment.ts';
import type { SegmentEvent } from '../../subnet/segment/segment-watch.ts';
import type { EventReporter, HealthReporter, OwnedWarning } from '../reports.ts';
import type { SegmentScope } from './segment-scope.ts';

interface NoUnderlay {
  readonly reason: string;
  readonly hint: string;
}

export class SegmentReporter {
  readonly #health: HealthReporter;
  readonly #events: EventReporter;
  /** Networks that were in place on this host, by id. */
  readonly #ready = new Set<string>();

  constructor({ health, events }: { readonly health: HealthReporter; readonly events: EventReporter }) {
    this.#health = health;
    this.#events = events;
  }

  /** How each of them is on this host. */
  segments(scopes: readonly SegmentScope[], noUnderlay: NoUnderlay | undefined): void {
    for (const scope of scopes) this.#noteReady(scope);
    this.#health.warn(
      'segments',
      scopes.flatMap(scope => warningsOf(scope, noUnderlay)),
    );
  }

  /** One is deleted. */
  gone({ id, name }: Segment): void {
    this.#ready.delete(id);
    this.#events.add('info', 'network-removed', `the network ${name} is deleted, and gone from this host`, {
      network: name,
    });
  }

  guard(failure: string | undefined): void {
    this.#health.warn(
      'segment-guard',
      failure === undefined
        ? []
        : [
            {
              id: 'guard',
              code: 'NETWORK_UNGUARDED',
              severity: 'warning',
              title: 'L2 networks have no storm limit on this host',
              text: `the rules that limit flooding and keep the gateway local could not be written: ${failure}`,
              hint: 'install nftables; the agent tries again by itself',
            },
          ],
    );
  }

  presence({ failure }: PresenceState): void {
    const unpublished: OwnedWarning[] =
      // That it does not answer is a condition of its own.
      failure === undefined || failure.retriable
        ? []
        : [
            {
              id: 'unpublished',
              code: 'NETWORK_UNPUBLISHED',
              severity: 'warning',
              title: 'other hosts do not know what this host has on L2 networks',
              text: `the store does not take it: ${messageOf(failure)}`,
              ...defined({ hint: failure.hint }),
            },
          ];
    this.#health.warn('segment-presence', unpublished);
  }

  conflict(conflict: EndpointConflict): void {
    const { segment, endpoint, owner } = conflict;
    const { ip, mac, container } = endpoint;
    const what = isMacConflict(conflict) ? `the MAC address ${mac}` : `the address ${ip}`;
    const text = `${container} has ${what} in ${segment}, which belongs to ${owner.container} on ${nameOfHost(owner)}`;
    this.#events.add('warning', 'address-conflict', text, { network: segment, ip: `${ip}` });
  }

  event(event: SegmentEvent): void {
    if (event.type === 'rejected') {
      const text = `networks/${event.key} in the store is not used: ${event.reason}`;
      this.#events.add('warning', 'network-key-rejected', text, { key: event.key });
    } else if (event.type === 'accepted') {
      this.#events.add('info', 'network-key-accepted', `networks/${event.key} in the store is used again`, {
        key: event.key,
      });
    } else if (event.type === 'forgotten') {
      const text = `the store has lost what it had of L2 networks; it is kept for a day: ${enumerate(event.keys)}`;
      this.#events.add('warning', 'network-keys-forgotten', text, { keys: event.keys.length });
    }
  }

  #noteReady(scope: SegmentScope): void {
    const { id, name, vni } = scope.snapshot.segment;
    if (scope.tunnel === undefined || scope.bridge === undefined || this.#ready.has(id)) return;
    this.#ready.add(id);
    const bridge = scope.plan?.links.bridge;
    this.#events.add(
      'info',
      'network-ready',
      `the network ${name} is on this host: bridge ${bridge}, VNI ${vni}`,
      {
        network: name,
        bridge,
        vni,
      },
    );
  }
}

function warningsOf(scope: SegmentScope, noUnderlay: NoUnderlay | undefined): OwnedWarning[] {
  const { plan, obstacle, snapshot } = scope;
  const { name } = snapshot.segment;
  const failed = (reason: string, hint: string | undefined): OwnedWarning => ({
    id: `${name} failed`,
    code: 'NETWORK_FAILED',
    severity: 'error',
    title: `the network ${name} does not work on this host`,
    text: reason,
    ...defined({ hint }),
  });
  if (obstacle !== undefined) return [failed(formatProblem(obstacle), obstacle.hint)];
  if (plan === undefined) return noUnderlay === undefined ? [] : [failed(noUnderlay.reason, noUnderlay.hint)];
  const { links, failed: count, failures } = scope.report();
  const broken = links.find(({ inSync, reason }) => !inSync && reason !== undefined);
  if (broken !== undefined) return [failed(linkText(broken), broken.hint)];
  const entries: OwnedWarning[] =
    count === 0
      ? []
      : [
          {
            id: `${name} entries`,
            code: 'NETWORK_ENTRIES_FAILED',
            severity: 'warning',
            title: `some stations of the network ${name} cannot be reached`,
            text: `${count === 1 ? '1 kernel entry is missing' : `${count} kernel entries are missing`}, for example ${failures[0]}`,
          },
        ];
  return [
    ...entries,
    ...plan.problems.map((problem): OwnedWarning => {
      const { path, hint } = problem;
      return {
        id: `${name} ${path}`,
        ...(path === 'mtu' ? { code: 'NETWORK_MTU_REDUCED' } : { code: 'NETWORK_MEMBER_UNREACHABLE' }),
        severity: 'warning',
        title: `the network ${name} does not fit the underlay of all hosts`,
        text: formatProblem(problem),
        ...defined({ hint }),
      };
    }),
  ];
}

const linkText = ({ name, reason }: LinkReport) => `${name}: ${reason}`;
