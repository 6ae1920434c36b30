/** Checks of what is between the bridge of the containers and the other hosts. */
import { checkAgent } from './agent.ts';
import { checkBridgeFirewall } from './bridge-firewall.ts';
import type { NamedCheck } from './check.ts';
import { checkFastPath } from './fast-path.ts';
import { checkFirewall } from './firewall.ts';
import { checkForwarder } from './forwarder.ts';
import { checkHostFiles } from './host-files.ts';
import { checkIpsec } from './ipsec.ts';
import { checkLimits } from './limits.ts';
import { checkLocalRoutes } from './local-routes.ts';
import { checkNeighbors } from './neighbors.ts';
import { checkRouting } from './routing.ts';
import { checkTunnel } from './tunnel.ts';
import { checkUnderlay } from './underlay.ts';

export const NETWORK_CHECKS: readonly NamedCheck[] = [
  { name: 'routing', check: checkRouting },
  { name: 'local routes', check: checkLocalRoutes },
  { name: 'firewall', check: checkFirewall },
  // After what keeps packets from other hosts: one rule may do both.
  { name: 'firewall of bridges', check: checkBridgeFirewall },
  { name: 'policies of IPsec', check: checkIpsec },
  { name: 'tunnel', check: checkTunnel },
  { name: 'forwarder', check: checkForwarder },
  { name: 'underlay', check: checkUnderlay },
  { name: 'neighbors on the underlay', check: checkNeighbors },
  { name: 'limits', check: checkLimits },
  { name: 'fast path', check: checkFastPath },
  { name: 'agent', check: checkAgent },
  { name: 'files of the agent', check: checkHostFiles },
];
