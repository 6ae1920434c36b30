/** What is different about this host when another plan comes into use: told once, as events. */

import type { Underlay } from '../backend/backend.ts';
import { isObject } from '../base/fields.ts';
import type { ActivePlan } from './active-plan.ts';
import type { HostPlan } from './host-plan.ts';
import type { EventReporter } from './reports.ts';

export function emitChanges(events: EventReporter, before: ActivePlan, after: ActivePlan): void {
  const underlay = differences(underlayFacts(before.plan.underlay), underlayFacts(after.plan.underlay));
  if (underlay.length > 0) {
    events.add('info', 'underlay-changed', `the underlay is another one: ${underlay.join(', ')}`);
  }
  const network = differences(networkFacts(before.plan), networkFacts(after.plan));
  if (network.length > 0) {
    events.add('info', 'network-changed', `the network is another one: ${network.join(', ')}`);
  }
}

/** Facts by name, as text; undefined where there is none. */
type Facts = Readonly<Record<string, string | undefined>>;

function underlayFacts({ link, ipv4, ipv6, publicIpv4, publicIpv6 }: Underlay): Facts {
  return {
    interface: link.name,
    index: `${link.index}`,
    MTU: `${link.mtu}`,
    ipv4: ipv4?.toString(),
    ipv6: ipv6?.toString(),
    publicIpv4: publicIpv4?.toString(),
    publicIpv6: publicIpv6?.toString(),
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
