/** Whether a fault can be planted: asked before anything is changed, and refused with the reason. */
import { run } from '../../sys/process.ts';
import { LabError } from '../errors.ts';
import type { Target } from '../record/find.ts';
import type { LabRecord } from '../record/record.ts';
import { requirePrograms } from '../requirements.ts';
import { nameFlag } from '../topology/lab-name.ts';
import type { Fault } from './fault.ts';
import type { FaultStep } from './step.ts';

/** Program -> the Debian package that has it. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  tc: 'iproute2',
  nft: 'nftables',
  iptables: 'iptables',
  'iptables-legacy': 'iptables',
  ebtables: 'ebtables',
  arptables: 'arptables',
  etcdctl: 'etcd-client',
  docker: 'docker.io',
};

/** @throws LabError UNSUPPORTED: it is no fault of this place. */
export function requireFor(
  fault: Fault,
  { lab, record, container }: Target & { readonly lab: LabRecord },
): void {
  const refuse = (message: string, hint: string) => {
    throw new LabError('UNSUPPORTED', `${fault.name}: ${message}`, { hint });
  };
  if (fault.on === 'host' && container !== undefined) {
    refuse('is a fault of a host, not of a container', `plant it on ${record.name}`);
  }
  if (fault.docker === true && record.runtime !== 'docker') {
    refuse(
      `wants a dockerd, and ${record.name} has none`,
      'make a lab with real Docker: tulle lab up --docker',
    );
  }
  if (fault.sibling === true && record.containers.length < 2) {
    refuse(
      `wants two containers on ${record.name}`,
      `make a lab with more: tulle lab up${nameFlag(lab.name)} --containers 2`,
    );
  }
}

/** What this machine does not have for the steps. */
export async function obstacleTo(fault: Fault, steps: readonly FaultStep[]): Promise<LabError | undefined> {
  const programs = steps.flatMap(step => (step.kind === 'run' ? programsIn(step.words) : []));
  try {
    requirePrograms(
      Object.fromEntries(
        programs.flatMap(each => (PACKAGES[each] === undefined ? [] : [[each, PACKAGES[each]]])),
      ),
    );
  } catch (error) {
    if (error instanceof LabError) return error;
    throw error;
  }
  if (fault.kernel === undefined) return undefined;
  const { what, attempt } = fault.kernel;
  const { status } = await run('unshare', ['--net', '--', ...attempt], { anyStatus: true, timeout: 10_000 });
  if (status === 0) return undefined;
  return new LabError('UNSUPPORTED', `${fault.name}: this kernel has no ${what}`, {
    hint: 'choose another fault: tulle lab break --list',
  });
}

/** Those of a line for a shell, too. */
const programsIn = (words: readonly string[]): readonly string[] =>
  words[0] === 'sh' ? (words[2] ?? '').split(/[\s|;&]+/) : words.slice(0, 1);
