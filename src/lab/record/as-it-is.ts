/** A lab as it is now: what its record cannot know, because programs of the hosts change it. */
import { readFileSync } from 'node:fs';
import { mapFamilies } from '../../base/per-family.ts';
import { SUBNET_FILE } from '../../console/defaults.ts';
import { isAlive } from '../../sys/pidfd.ts';
import { LabHost } from '../host/host.ts';
import { inspectContainers } from '../service/docker-containers.ts';
import { parseHostSubnet } from '../service/subnet-env.ts';
import type { ContainerRecord, HostRecord, LabRecord } from './record.ts';

/**
 * Each host with the subnet that its agent wrote last, and each container where it is: Docker gives one that is
 * restarted another namespace, and may give another address. A host that is down is as it was.
 */
export async function labAsItIs(lab: LabRecord, signal: AbortSignal): Promise<LabRecord> {
  const hosts = await Promise.all(
    lab.hosts.map(async record => {
      if (!isAlive(record.anchor)) return record;
      const host = new LabHost(record.name, record.anchor);
      const containers = await containersAsTheyAre(host, record, signal);
      return { ...record, subnet: subnetOf(host), containers };
    }),
  );
  return { ...lab, hosts };
}

function subnetOf(host: LabHost): HostRecord['subnet'] {
  try {
    const { subnet } = parseHostSubnet(readFileSync(host.path(SUBNET_FILE), 'utf8'));
    return mapFamilies(subnet, String);
  } catch {
    // No agent has leased one; or the file is being written for the first time.
    return {};
  }
}

async function containersAsTheyAre(
  host: LabHost,
  { runtime, containers }: HostRecord,
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  if (runtime === 'namespace') return containers;
  const names = containers.map(({ name }) => name);
  const running = await inspectContainers(host, names, signal);
  // One that does not run stays where it was: no process answers there.
  return containers.map(known => running.find(({ name }) => name === known.name) ?? known);
}
