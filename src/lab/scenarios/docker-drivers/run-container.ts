/** Containers of the scenario are named after what they show, and wait to be looked at. */
import type { CommandSpec } from '../../scenario/scenario.ts';

export const runContainer = (name: string, network: string, on = 'docker1'): CommandSpec => ({
  line: `docker run --detach --name ${name} --network ${network} busybox sleep 99999`,
  on,
  quiet: true,
});

/** Remembers the file of a container's sandbox. */
export const findSandbox = (container: string, name: string, on = 'docker1'): CommandSpec => ({
  line: `docker inspect --format '{{.NetworkSettings.SandboxKey}}' ${container}`,
  on,
  remember: { [name]: /^(\/.+)$/m },
});
