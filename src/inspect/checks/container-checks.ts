/** Checks of containers on the overlay, and of what they are attached to. */
import { checkBridges } from './bridge.ts';
import { checkBridgeFdb } from './bridge-fdb.ts';
import { checkBridgePorts } from './bridge-ports.ts';
import { checkBridgeVlans } from './bridge-vlan.ts';
import type { NamedCheck } from './check.ts';
import { checkCniConfig } from './cni-config.ts';
import { checkContainerAddresses } from './container-address.ts';
import { checkContainerFirewalls } from './container-firewall.ts';
import { checkContainerLinks } from './container-link.ts';
import { checkContainerNeighbors } from './container-neighbor.ts';
import { checkContainerQueues } from './container-queue.ts';
import { checkContainerRoutes } from './container-routes.ts';
import { checkDocker } from './docker.ts';
import { checkDockerConfig } from './docker-config.ts';
import { checkDockerLinks } from './docker-link.ts';
import { checkMtus } from './mtu.ts';

export const CONTAINER_CHECKS: readonly NamedCheck[] = [
  { name: 'links of containers', check: checkContainerLinks },
  { name: 'addresses of containers', check: checkContainerAddresses },
  { name: 'routes of containers', check: checkContainerRoutes },
  { name: 'neighbors of containers', check: checkContainerNeighbors },
  { name: 'firewalls of containers', check: checkContainerFirewalls },
  { name: 'queues of containers', check: checkContainerQueues },
  { name: 'bridges', check: checkBridges },
  { name: 'ports of bridges', check: checkBridgePorts },
  { name: 'FDB of bridges', check: checkBridgeFdb },
  { name: 'VLANs of bridges', check: checkBridgeVlans },
  { name: 'Docker', check: checkDocker },
  { name: 'links that Docker knows', check: checkDockerLinks },
  { name: 'configuration of Docker', check: checkDockerConfig },
  { name: 'configuration of CNI', check: checkCniConfig },
  { name: 'MTU of bridges and containers', check: checkMtus },
];
