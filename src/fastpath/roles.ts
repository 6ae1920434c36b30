/**
 * The four programs of the fast path, and where they see a packet: before and after the way that it takes through
 * bridge, routes and firewall, in each direction.
 *
 *     container -> transmit -> bridge, routes, firewall, vxlan -> sent -> underlay
 *     container <- delivered <- bridge, routes, firewall, vxlan <- receive <- underlay
 */
import type { ProgramPoint } from '../dataplane/programs.ts';

export const ROLES = {
  /** At the host's end of a container's link. */
  transmit: { at: 'host end', point: 'ingress' },
  delivered: { at: 'host end', point: 'egress' },
  /** At the uplink. */
  receive: { at: 'uplink', point: 'ingress' },
  sent: { at: 'uplink', point: 'egress' },
} as const satisfies Record<string, { at: 'host end' | 'uplink'; point: ProgramPoint }>;

export type Role = keyof typeof ROLES;
