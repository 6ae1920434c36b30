/** What is said of Docker networks that are not as they should be. */
import { enumerate } from '../../../base/enumerate.ts';
import type { DockerNetworkState } from '../../../docker/docker-messages.ts';
import type { OwnedWarning } from '../../reports.ts';

/** Names of containers in a warning. */
const MOST_NAMED = 5;

type Named = readonly { readonly Name: string }[];

const namesOf = (containers: Named) => enumerate(containers, { most: MOST_NAMED, name: ({ Name }) => Name });

export function foreignWarning(name: string, { Driver, Id, IPAM }: DockerNetworkState): OwnedWarning {
  const subnets = (IPAM.Config ?? []).map(({ Subnet }) => Subnet).join(', ') || 'no subnet';
  return {
    id: `foreign ${name}`,
    code: 'DOCKER_NETWORK_FOREIGN',
    severity: 'warning',
    title: `Docker has another network of the name ${name}`,
    text: `the Docker network ${name} (driver ${Driver}, ${subnets}, id ${Id.slice(0, 12)}) is not of Tulle and stays as it is`,
    hint: `remove it with \`docker network rm ${name}\`, or make the L2 network under another name`,
  };
}

export function differsWarning(name: string, difference: string, containers: Named): OwnedWarning {
  return {
    id: `differs ${name}`,
    code: 'DOCKER_NETWORK_DIFFERS',
    severity: 'warning',
    title: `the Docker network ${name} is not as the L2 network is`,
    text: `the Docker network ${name} cannot be made anew while containers are on it (${namesOf(containers)}): ${difference}`,
    hint: 'disconnect them; it is then made anew',
  };
}

export function inUseWarning(name: string, containers: Named): OwnedWarning {
  return {
    id: `in use ${name}`,
    code: 'DOCKER_NETWORK_IN_USE',
    severity: 'warning',
    title: `the L2 network ${name} is deleted, and containers are on its Docker network`,
    text: `the Docker network ${name} stays while containers are on it: ${namesOf(containers)}`,
    hint: 'disconnect them; it is then removed',
  };
}

export function failureWarning(name: string, reason: string): OwnedWarning {
  return {
    id: `failed ${name}`,
    code: 'DOCKER_NETWORK_FAILED',
    severity: 'warning',
    title: `Docker does not have the L2 network ${name}`,
    text: `the Docker network ${name} cannot be made: ${reason}`,
    hint: 'it is tried again every half minute',
  };
}
