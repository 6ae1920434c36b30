/**
 * Looks at a host: all checks side by side, each with a deadline. One that fails takes nothing from the others; it is
 * said in `blind`.
 */
import { untilAborted } from '../../base/abort.ts';
import { messageOf } from '../../base/errors.ts';
import type { HostReader } from '../host/host-reader.ts';
import { inspectedContainers } from '../host/inspected-containers.ts';
import { addressesIn, type HostOverlay } from '../host/overlay.ts';
import { underlayMacs } from '../host/underlay-macs.ts';
import { bySeverity, type Cause, type FixableReport, type NamedCheck, saidOf } from './check.ts';
import { CHECKS } from './checks.ts';

/** Milliseconds for one check, which takes less than one second on a host that is at rest. */
const PATIENCE = 7_000;
const MOST_FINDINGS = 1000;

/** @throws SysError when not even the namespace can be read; `signal.reason` */
export async function lookAt(
  host: HostReader,
  signal?: AbortSignal,
  checks: readonly NamedCheck[] = CHECKS,
): Promise<FixableReport> {
  signal?.throwIfAborted();
  const time = Date.now();
  const blind: string[] = [];
  const until = AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal === undefined ? [] : [signal])]);
  const orSay = async <T>(what: string, work: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await untilAborted(work(), until);
    } catch (error) {
      signal?.throwIfAborted();
      blind.push(`${what}: ${until.aborted ? `no result within ${PATIENCE / 1000} s` : messageOf(error)}`);
      return otherwise;
    }
  };
  const [name, status, overlay, containers, ...causes] = await Promise.all([
    host.name(),
    host.status(),
    host.overlay(),
    orSay('containers', () => inspectedContainers(host), []),
    ...checks.map(({ name: what, check }) => orSay<Cause[]>(what, () => check(host), [])),
  ]);
  const findings = causes
    .flat()
    .toSorted(bySeverity)
    .slice(0, MOST_FINDINGS)
    .map(cause => ({
      ...saidOf(name, cause),
      host: name,
      fixable: cause.fix !== undefined,
    }));
  return {
    host: name,
    time,
    ...(status && { agent: { version: status.version, state: status.agent.state } }),
    subnets: overlay?.subnets.map(String) ?? [],
    bridgeAddresses: await orSay('bridge', () => bridgeAddresses(host, overlay), []),
    underlayMacs: await orSay('MAC addresses', () => underlayMacs(host), { own: [], peers: [] }),
    underlayAddresses: addressesIn(Object.values(status?.underlay?.ip ?? {})).map(String),
    containers,
    findings,
    blind,
  };
}

/** Addresses of the leased subnets on bridges. */
async function bridgeAddresses(host: HostReader, overlay: HostOverlay | undefined): Promise<string[]> {
  const [links, addresses] = await Promise.all([host.links(), host.addresses()]);
  const bridges = new Set(links.filter(({ info }) => info?.kind === 'bridge').map(({ index }) => index));
  return addresses
    .filter(({ index, ip }) => bridges.has(index) && overlay?.subnets.some(block => block.contains(ip)))
    .map(({ ip }) => String(ip));
}
