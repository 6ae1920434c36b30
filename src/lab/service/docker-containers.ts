/** Containers of a lab's dockerd: started, and where they are. */
import { type Family, Ip } from '../../base/ip.ts';
import { familiesOf, perFamily } from '../../base/per-family.ts';
import type { LabHost } from '../host/host.ts';
import type { ContainerRecord } from '../record/record.ts';
import type { ContainerPlan } from '../topology/host-plan.ts';

/** What a container does that waits to be used. */
const IDLE = ['sleep', '2147483647'];

/** Docker's network for the containers of a lab whose default bridge is not on the overlay: a name that nobody else gives. */
const OVERLAY_IN_DOCKER = 'tulle';

/** Makes the network of the plugin on which containers have addresses of the leased subnet. */
export async function makeOverlayNetwork(host: LabHost, signal: AbortSignal): Promise<string> {
  const drivers = ['--driver', 'tulle', '--ipam-driver', 'tulle', '--opt', 'tulle.network=default'];
  await host.run('docker', ['network', 'create', ...drivers, OVERLAY_IN_DOCKER], { signal });
  return OVERLAY_IN_DOCKER;
}

/** Starts containers, and says where they are. @param network of Docker; its default bridge when absent */
export async function runContainers(
  host: LabHost,
  containers: readonly ContainerPlan[],
  { image, network }: { readonly image: string; readonly network?: string | undefined },
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  for (const { name, command = IDLE, flags = [] } of containers) {
    const on = network === undefined ? [] : ['--network', network];
    const own = ['--detach', '--init=false', '--name', name, '--hostname', name, ...on];
    await host.run('docker', ['run', ...own, ...flags, image, ...command], { signal });
  }
  const names = containers.map(({ name }) => name);
  return inspectContainers(host, names, signal);
}

/** Starts those of the containers that dockerd has kept, in this order, and says where they are. */
export async function startContainers(
  host: LabHost,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  const { stdout } = await host.run('docker', ['ps', '--all', '--format', '{{.Names}}'], { signal });
  const known = stdout.split('\n');
  // In the order of the lab: each gets the address that it had.
  const kept = names.filter(name => known.includes(name));
  if (kept.length > 0) await host.run('docker', ['start', ...kept], { signal });
  return inspectContainers(host, kept, signal);
}

/** What `docker inspect` calls the address of a family; the words of a line may not be empty. */
const ADDRESS_MEMBERS = { ipv4: 'IPAddress', ipv6: 'GlobalIPv6Address' } as const satisfies Record<
  Family,
  string
>;
const addressIn = (family: Family) =>
  `{{with or .NetworkSettings.Networks.bridge .NetworkSettings.Networks.${OVERLAY_IN_DOCKER}}}{{or .${ADDRESS_MEMBERS[family]} "-"}}{{end}}`;

/** What Docker says of those of the containers that run. */
export async function inspectContainers(
  host: LabHost,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  if (names.length === 0) return [];
  const format = `{{.Name}} {{.NetworkSettings.SandboxKey}} ${addressIn('ipv4')} ${addressIn('ipv6')}`;
  // One that was removed makes the status 1, and the others are printed all the same.
  const { stdout } = await host.run('docker', ['inspect', '--format', format, ...names], {
    signal,
    anyStatus: true,
  });
  return stdout.split('\n').flatMap(line => {
    const [name = '', netns = '', ipv4 = '-', ipv6 = '-'] = line.split(' ');
    const ip = perFamily(family => Ip.tryParse({ ipv4, ipv6 }[family])?.toString());
    if (familiesOf(ip).length === 0 || netns === '') return [];
    // Docker writes a name as a path, and the sandbox below /var/run, which a symbolic link leads to /run.
    return [{ name: name.replace(/^\//, ''), ip, netns: netns.replace(/^\/var\/run\//, '/run/') }];
  });
}
