/** All faults, in the order in which a packet comes by their places. */
import { nearest } from '../../base/nearest.ts';
import { LabError } from '../errors.ts';
import type { Fault } from './fault.ts';
import { AGENT_FAULTS } from './places/agent.ts';
import { BRIDGE_FAULTS } from './places/bridge.ts';
import { CONTAINER_FAULTS } from './places/container.ts';
import { DOCKER_FAULTS } from './places/docker.ts';
import { HOOK_FAULTS } from './places/hooks.ts';
import { IDENTITY_FAULTS } from './places/identity.ts';
import { LIMIT_FAULTS } from './places/limit.ts';
import { MTU_FAULTS } from './places/mtu.ts';
import { NAT_FAULTS } from './places/nat.ts';
import { NEIGHBOR_FAULTS } from './places/neighbor.ts';
import { NETFILTER_FAULTS } from './places/netfilter.ts';
import { ROUTE_FAULTS } from './places/route.ts';
import { RULE_FAULTS } from './places/rule.ts';
import { STORE_FAULTS } from './places/store.ts';
import { SYSCTL_FAULTS } from './places/sysctl.ts';
import { TUNNEL_FAULTS } from './places/tunnel.ts';
import { UNDERLAY_FAULTS } from './places/underlay.ts';

export const FAULTS: readonly Fault[] = [
  ...CONTAINER_FAULTS,
  ...BRIDGE_FAULTS,
  ...NEIGHBOR_FAULTS,
  ...SYSCTL_FAULTS,
  ...NETFILTER_FAULTS,
  ...HOOK_FAULTS,
  ...NAT_FAULTS,
  ...ROUTE_FAULTS,
  ...RULE_FAULTS,
  ...MTU_FAULTS,
  ...LIMIT_FAULTS,
  ...TUNNEL_FAULTS,
  ...UNDERLAY_FAULTS,
  ...DOCKER_FAULTS,
  ...AGENT_FAULTS,
  ...STORE_FAULTS,
  ...IDENTITY_FAULTS,
];

/** Names that a part of one may stand for. */
const MOST_MEANT = 5;

/** @throws LabError NOT_FOUND */
export function findFault(name: string): Fault {
  const fault = FAULTS.find(each => each.name === name);
  if (fault !== undefined) return fault;
  const names = FAULTS.map(each => each.name);
  const near = nearest(name, names);
  const meant = near === undefined ? names.filter(each => each.includes(name)).slice(0, MOST_MEANT) : [near];
  throw new LabError('NOT_FOUND', `there is no fault named ${JSON.stringify(name)}`, {
    hint: `${meant.length === 0 ? '' : `did you mean ${meant.join(', ')}? `}all are listed by: tulle lab break --list`,
  });
}
