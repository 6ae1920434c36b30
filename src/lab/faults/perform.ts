/** Doing a step in a lab. */
import { Netns } from '../../sys/netns.ts';
import { endProcess, isAlive } from '../../sys/pidfd.ts';
import { run } from '../../sys/process.ts';
import { readSysctl, writeSysctl } from '../../sys/sysctl.ts';
import { restartDockerOn, startAgentOn, startStoreOn } from '../control.ts';
import { LabError } from '../errors.ts';
import { namespacesOf } from '../host/anchor.ts';
import { LabHost } from '../host/host.ts';
import { labAsItIs } from '../record/as-it-is.ts';
import { requireHost } from '../record/find.ts';
import { type LabRecord, requireRecord } from '../record/record.ts';
import { daemonOf } from './daemons.ts';
import type { FaultStep, Where } from './step.ts';

/** Names of those who take part; a container is one of `host`. */
export interface Roles {
  readonly lab: string;
  readonly host: string;
  readonly container: string;
  readonly sibling: string;
  readonly peer: string;
  readonly peerContainer: string;
}

/**
 * Does a step, and returns what undoes it where that is more than the fault knows: the value that was there before.
 *
 * @throws ProcessError, LabError, `signal.reason`.
 */
export async function perform(
  step: FaultStep,
  roles: Roles,
  signal: AbortSignal,
): Promise<readonly FaultStep[]> {
  const lab = requireRecord(roles.lab);
  switch (step.kind) {
    case 'run': {
      const [program = '', ...args] = step.words;
      const { input } = step;
      const namespaces = await namespacesAt(step.on, lab, roles, signal);
      await run(program, args, {
        namespaces,
        signal,
        timeout: 20_000,
        ...(input === undefined ? {} : { input }),
      });
      return [];
    }
    case 'sysctl': {
      using netns = Netns.open((await namespacesAt(step.on, lab, roles, signal)).net);
      const before = readSysctl(step.path, netns);
      writeSysctl(step.path, step.value, netns);
      return before === undefined ? [] : [{ ...step, value: before }];
    }
    case 'signal': {
      const id = daemonOf(step.daemon, hostAt(step.daemon === 'store' ? 'store' : 'host', lab, roles).anchor);
      if (id === undefined || !isAlive(id)) throw notRunning(step.daemon, roles.host);
      if (step.signal === 'SIGKILL') await endProcess(id, 0);
      else process.kill(id.pid, step.signal);
      return [];
    }
    case 'start':
      if (step.daemon === 'store') await startStoreOn(roles.lab, signal);
      else await startAgentOn(roles.lab, roles.host, [], signal);
      return [];
    case 'dockerd':
      await restartDockerOn(
        roles.lab,
        roles.host,
        { ...step, config: step.config ?? dockerConfig(lab, roles.host) },
        signal,
      );
      return [];
  }
}

/** The daemon.json that the lab has from its topology. */
function dockerConfig({ topology }: LabRecord, host: string): Readonly<Record<string, unknown>> {
  const { docker } = topology.hosts[host] ?? {};
  return typeof docker === 'object' ? { ...docker.config } : {};
}

const notRunning = (daemon: string, host: string) =>
  new LabError('NOT_FOUND', `no ${daemon} runs on ${host}`, {
    hint: 'restart the host: tulle lab restart HOST',
  });

function hostAt(where: Where, lab: LabRecord, roles: Roles): LabHost {
  const name =
    where === 'peer' || where === 'peer-container'
      ? roles.peer
      : where === 'store'
        ? (lab.topology.store?.on ?? roles.host)
        : roles.host;
  const record = requireHost(lab, name);
  return new LabHost(record.name, record.anchor);
}

async function namespacesAt(where: Where, lab: LabRecord, roles: Roles, signal: AbortSignal) {
  if (where === 'wire') {
    const { net, mount } = namespacesOf(lab.anchor);
    return { net, mount };
  }
  const host = hostAt(where, lab, roles);
  const namespaces = namespacesOf(host.anchor);
  const name = containerAt(where, roles);
  if (name === undefined) return namespaces;
  // Docker gives a container that is restarted another namespace.
  const record = requireHost(await labAsItIs(lab, signal), host.name);
  const container = record.containers.find(each => each.name === name);
  if (container === undefined) throw new LabError('NOT_FOUND', `${host.name} has no ${name}`);
  return { ...namespaces, net: host.path(container.netns) };
}

function containerAt(where: Where, roles: Roles): string | undefined {
  if (where === 'peer-container') return roles.peerContainer;
  return where === 'container' || where === 'sibling' ? roles[where] : undefined;
}
