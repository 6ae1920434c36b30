/** Docker's own overlay network between two hosts of a lab that each run a dockerd: swarm mode. */
import type { LabHost } from '../../lab/host/host.ts';
import type { Way } from './paths.ts';

const NETWORK = 'bench';
const IMAGE = 'busybox';

/** Joins both hosts in a swarm, and starts a container on each on one network of it. */
export async function joinSwarm(
  a: LabHost,
  b: LabHost,
  addressOfA: string,
  signal: AbortSignal,
): Promise<Omit<Way, 'path'>> {
  const docker = async (host: LabHost, ...args: string[]) =>
    (await host.run('docker', args, { signal })).stdout.trim();
  await docker(a, 'swarm', 'init', `--advertise-addr=${addressOfA}`);
  const token = await docker(a, 'swarm', 'join-token', '--quiet', 'worker');
  await docker(b, 'swarm', 'join', `--token=${token}`, `${addressOfA}:2377`);
  await docker(a, 'network', 'create', '--driver=overlay', '--attachable', NETWORK);
  const [from, to] = [await startContainer(a), await startContainer(b)];
  return { from: from.netns, to: to.netns, ip: to.ip };

  async function startContainer(host: LabHost): Promise<{ readonly netns: string; readonly ip: string }> {
    const idle = ['sleep', '2147483647'];
    await docker(
      host,
      'run',
      '--detach',
      '--init=false',
      '--name=bench',
      `--network=${NETWORK}`,
      IMAGE,
      ...idle,
    );
    const format = `{{(index .NetworkSettings.Networks "${NETWORK}").IPAddress}} {{.NetworkSettings.SandboxKey}}`;
    const [ip = '', sandbox = ''] = (await docker(host, 'inspect', '--format', format, 'bench')).split(' ');
    // Docker writes it below /var/run, which a symbolic link leads to /run.
    return { ip, netns: host.path(sandbox.replace(/^\/var\/run\//, '/run/')) };
  }
}
