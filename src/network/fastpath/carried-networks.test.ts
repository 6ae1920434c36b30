import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredLink } from '../../dataplane/desired-link.ts';
import type { FastPathMode } from '../../subnet/config/config.ts';
import type { ActivePlan } from '../active-plan.ts';
import { carriedOverlay } from './carried-networks.ts';
import { OBSTACLES } from './obstacle.ts';

const vxlan = (vni: number, local: string, gbp = false) =>
  ({ kind: 'vxlan', name: `flannel.${vni}`, vni, port: 8472, local: Ip.parse(local), gbp }) as DesiredLink;

const active = (links: readonly DesiredLink[], fastPath: FastPathMode = 'auto') =>
  ({
    plan: { config: { fastPath }, backend: { type: 'vxlan' }, underlay: { link: { index: 2 } } },
    host: { links },
    lease: { subnet: { ipv4: Prefix.parse('10.5.34.0/24') } },
  }) as unknown as ActivePlan;

test('the overlay is carried by its VXLAN devices over IPv4', () => {
  const { obstacle, tunnels, uplink } = carriedOverlay(
    active([vxlan(88, '192.168.65.3'), vxlan(89, 'fd65::3')]),
  );
  assert.equal(obstacle, undefined);
  assert.deepEqual(tunnels, [{ link: 'flannel.88', port: 8472, vni: 88 }]);
  assert.equal(uplink?.index, 2);
});

test('and says why nothing of it can be fast', () => {
  const codes = [
    carriedOverlay(undefined),
    carriedOverlay(active([vxlan(88, '192.168.65.3')], 'off')),
    carriedOverlay(active([{ kind: 'existing', name: 'eth0' }])),
    carriedOverlay(active([vxlan(88, '192.168.65.3', true)])),
    carriedOverlay(active([vxlan(88, 'fd65::3')])),
  ].map(({ obstacle }) => obstacle?.code);
  const { waiting, offByConfig, gbp, ipv6 } = OBSTACLES;
  assert.deepEqual(codes, [waiting.code, offByConfig.code, 'NO_VXLAN', gbp.code, ipv6.code]);
});
