/**
 * A host that boots again: everything that ran on it ends, and with it its kernel's state; its disk and the rest of the
 * lab stay. Until the new host is complete it hangs on our own process, and the record names the former one, which is
 * dead: killed at any moment we leave a host that is down, and that the next restart brings up.
 */

import { bootStore, emptyHost, populate, waitForOthers } from './boot.ts';
import { LabError } from './errors.ts';
import { startKeeper } from './host/anchor.ts';
import { Fabric } from './host/fabric.ts';
import { powerOff } from './host/processes.ts';
import { Site } from './host/site.ts';
import { requireHost } from './record/find.ts';
import { type HostRecord, type LabRecord, lockName, requireRecord, saveRecord } from './record/record.ts';
import { type LabPlan, planTopology } from './topology/plan.ts';

/**
 * A host on which something did not start is up all the same, as any other would be, and can be looked at.
 *
 * @throws LabError NOT_FOUND, BUSY, START_FAILED; `signal.reason`.
 */
export async function restartHost(
  labName: string,
  hostName: string,
  signal: AbortSignal,
): Promise<HostRecord> {
  // Unknown names are reported before anything is locked.
  requireHost(requireRecord(labName), hostName);
  await using _lock = await lockName(labName);
  const lab = requireRecord(labName);
  const plan = planTopology(lab.topology, { name: labName });
  const hostPlan = plan.hosts.find(({ name }) => name === hostName);
  if (hostPlan === undefined) throw new LabError('NOT_FOUND', `lab ${labName} has no host ${hostName}`);

  await powerOff(requireHost(lab, hostName).anchor);
  await using fabric = Fabric.open(lab.anchor);
  await using site = await Site.prepare(hostPlan, fabric);
  try {
    const { host, failure } = await start(site, plan, lab.hosts, signal);
    await saveRecord(withHost(lab, host));
    // Inside the host itself: it ends with the lab, and with the next restart.
    await startKeeper(host.anchor, [site.anchor.lifeline]);
    if (failure !== undefined) throw failure;
    return host;
  } finally {
    // Without a keeper the host ends with this.
    site.anchor.release();
  }
}

/** @throws `signal.reason`. */
async function start(
  site: Site,
  plan: LabPlan,
  hosts: readonly HostRecord[],
  signal: AbortSignal,
): Promise<{ readonly host: HostRecord; readonly failure?: LabError }> {
  const options = { signal, again: true };
  const empty = emptyHost(site);
  const former = hosts.find(({ name }) => name === empty.name);
  // A dockerd that does not run has its containers nevertheless; namespaces are gone.
  let host = empty.runtime === 'docker' ? { ...empty, containers: former?.containers ?? [] } : empty;
  try {
    await bootStore(site, plan, options);
    host = await populate(site, plan, options);
    await waitForOthers(site, hosts, signal);
    return { host };
  } catch (cause) {
    signal.throwIfAborted();
    const { context = {} } = cause instanceof LabError ? cause : {};
    const failure = new LabError('START_FAILED', `${host.name} is up, but not all that runs on it`, {
      hint: `look at /run/log on ${host.name}, or restart it again`,
      context,
      cause,
    });
    return { host, failure };
  }
}

const withHost = (lab: LabRecord, host: HostRecord): LabRecord => ({
  ...lab,
  hosts: lab.hosts.map(each => (each.name === host.name ? host : each)),
});
