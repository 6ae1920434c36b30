/** Places in a lab by the names that a command line has: `docker1`, `docker1/c1`. */
import { isAlive } from '../../sys/pidfd.ts';
import { LabError } from '../errors.ts';
import { nameFlag } from '../topology/lab-name.ts';
import type { ContainerRecord, HostRecord, LabRecord } from './record.ts';

export interface Target {
  readonly record: HostRecord;
  /** Absent when the host itself is meant. */
  readonly container?: ContainerRecord;
}

/** What `lab exec` takes in a lab: `docker1`, `docker1/c1`. */
export const targetsIn = ({ hosts }: LabRecord): string[] =>
  hosts.flatMap(({ name, containers }) => [
    name,
    ...containers.map(container => `${name}/${container.name}`),
  ]);

/** What `lab mend` takes in a lab: hosts, and what is planted there and no surprise. */
export const brokenIn = ({ hosts, faults = [] }: LabRecord): string[] => [
  ...hosts.map(({ name }) => name),
  ...faults.flatMap(({ fault, surprise }) => (surprise ? [] : fault)),
];

/** A host that runs, or a container of one. @throws LabError NOT_FOUND, HOST_DOWN */
export function findTarget(lab: LabRecord, target: string): Target {
  const [hostName = '', containerName, ...more] = target.split('/');
  const record = lab.hosts.find(({ name }) => name === hostName);
  const container = record?.containers.find(({ name }) => name === containerName);
  if (record === undefined || more.length > 0 || (containerName !== undefined && container === undefined)) {
    throw new LabError('NOT_FOUND', `lab ${lab.name} has no ${target}`, {
      hint: `it has ${targetsIn(lab).join(', ')}`,
    });
  }
  requireUp(lab, record);
  return container === undefined ? { record } : { record, container };
}

/** A host, whether it runs or not. @throws LabError NOT_FOUND */
export function requireHost(lab: LabRecord, name: string): HostRecord {
  const record = lab.hosts.find(host => host.name === name);
  if (record !== undefined) return record;
  throw new LabError('NOT_FOUND', `lab ${lab.name} has no host ${name}`, {
    hint: `its hosts are ${lab.hosts.map(host => host.name).join(', ')}`,
  });
}

/** @throws LabError HOST_DOWN */
export function requireUp(lab: LabRecord, { name, anchor }: HostRecord): void {
  if (isAlive(anchor)) return;
  throw new LabError('HOST_DOWN', `host ${name} is down: a restart of it was not finished`, {
    hint: `start it with \`tulle lab restart${nameFlag(lab.name)} ${name}\``,
  });
}
