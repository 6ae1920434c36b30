/**
 * What the hosts of a lab show to each other: certificates of an authority that is forgotten as soon as it has signed
 * them. They lie where a host that has joined with `tulle up` keeps its own, so that agents find them by themselves.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { agentPaths } from '../../console/defaults.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { ORGANIZATION, writeKeyed } from '../../trust/authority.ts';
import { type KeyedCertificate, makeAuthority, makeRequest, signRequest } from '../../trust/x509.ts';
import type { LabHost } from '../host/host.ts';
import type { LabPlan } from '../topology/plan.ts';

/** Of one host, before it is there. */
export interface HostCertificate extends KeyedCertificate {
  readonly hostId: string;
  /** PEM of the authority. */
  readonly authority: string;
}

/** One for every host of a lab with an agent of ours, by its name. */
export async function certifyHosts({ hosts }: LabPlan): Promise<ReadonlyMap<string, HostCertificate>> {
  const named = hosts.filter(({ agent }) => agent !== undefined && agent.flanneld === undefined);
  if (named.length === 0) return new Map();
  const now = Date.now();
  const authority = await makeAuthority(now);
  const made = named.map(async ({ name }) => {
    const hostId = randomUUID();
    const subject = { commonName: hostId, organization: ORGANIZATION.host };
    const { request, key } = await makeRequest(subject);
    const certificate = await signRequest(authority, request, subject, { use: 'client' }, now);
    return [name, { hostId, certificate, key, authority: authority.certificate }] as const;
  });
  return new Map(await Promise.all(made));
}

/** Puts it on the disk of a host, together with the identity that it is for. */
export async function installCertificate(
  host: LabHost,
  { etcdPrefix }: Pick<LabPlan, 'etcdPrefix'>,
  { hostId, authority, ...keyed }: HostCertificate,
): Promise<void> {
  const directory = host.path(agentPaths(etcdPrefix).stateDirectory);
  const identity = { version: 1, hostId, macs: {} };
  await writeFileAtomic(join(directory, 'identity.json'), `${JSON.stringify(identity)}\n`, {
    mode: 0o600,
    directoryMode: 0o700,
  });
  await writeFileAtomic(join(directory, 'trust/ca.pem'), authority, { directoryMode: 0o700 });
  await writeKeyed(join(directory, 'trust'), 'host', keyed);
}
