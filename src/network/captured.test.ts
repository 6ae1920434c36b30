import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { config, lease, network } from '../testing/network/overlay-harness.ts';
import type { ActivePlan } from './active-plan.ts';
import { capturedWarnings } from './captured.ts';

const active = {
  plan: { config: config(1) },
  lease: lease('10.3.50.0-24'),
} as Partial<ActivePlan> as ActivePlan;

const { links } = network('192.168.65.3/24');
const [underlay] = links;
const route = (destination: string, gateway?: string) => ({
  destination: Prefix.parse(destination),
  ...(underlay !== undefined && { link: underlay.index }),
  ...(gateway !== undefined && { gateway: Ip.parse(gateway) }),
});
const texts = (...routes: ReturnType<typeof route>[]) =>
  capturedWarnings({ links, routes }, active).map(({ code, text, hint }) => `${code} ${text} (${hint})`);

test('a route that is longer than those to the peers is named, with where it leads', () => {
  const [text = '', ...more] = texts(route('10.3.81.0/25', '192.168.65.250'), route('10.3.82.7/32'));
  assert.deepEqual(more, []);
  assert.match(
    text,
    /^ROUTE_CAPTURES .*: 10\.3\.81\.0\/25 via 192\.168\.65\.250 dev eth0, 10\.3\.82\.7\/32 dev eth0 /,
  );
  assert.match(text, /ip route delete 10\.3\.81\.0\/25\)$/);
});

test('what loses against the routes to the peers, or leads to own containers, is not', () => {
  for (const harmless of [
    '10.3.0.0/16',
    '10.3.81.0/24',
    '10.3.50.7/32',
    '10.4.1.0/25',
    'fd00::/128',
    '0.0.0.0/0',
  ])
    assert.deepEqual(texts(route(harmless)), [], harmless);
  assert.deepEqual(capturedWarnings({ links }, active), [], 'routes that were not read');
});
