/** Everything side by side, and the three words of Docker's model. */
import { sees } from '../../scenario/judges.ts';
import type { ScenarioStep, Stage } from '../../scenario/scenario.ts';
import { inOrder } from '../../scenario/shown.ts';
import { runContainer } from './run-container.ts';
import { parseView, type View, viewsTable } from './side-by-side.ts';

const CONTAINERS = ['none', 'host', 'bridge', 'lan', 'cross', 'blue', 'green'] as const;

/** What a container sees: asked in its sandbox, and its own file for name servers. */
async function look(stage: Stage, container: string): Promise<View> {
  const sandbox = await stage.type(
    'docker1',
    `docker inspect --format '{{.NetworkSettings.SandboxKey}}' ${container}`,
  );
  const within = `nsenter --net=${sandbox.trim()} ip -json -details`;
  return parseView(container, {
    links: await stage.type('docker1', `${within} address`),
    routes: await stage.type('docker1', `${within} -4 route`),
    resolv: await stage.type('docker1', `docker exec ${container} cat /etc/resolv.conf`),
  });
}

export const MODEL_STEPS: readonly ScenarioStep[] = [
  {
    id: 'side-by-side',
    title: 'All of them side by side',
    why:
      'Same image, same command: only the network differs. 127.0.0.11 is the name server that Docker itself runs in the ' +
      'sandbox, for networks that a user has created: it knows the names of containers. A container of none or bridge gets the ' +
      "servers of daemon.json itself, which is here the agent's: without them a copy of the host's resolv.conf.",
    on: 'docker1',
    commands: CONTAINERS.map(name => ({
      line: `docker exec ${name} sh -c 'ip address; ip route; cat /etc/resolv.conf'`,
      quiet: true,
    })),
    act: async stage => {
      const views: View[] = [];
      for (const container of CONTAINERS) views.push(await look(stage, container));
      return viewsTable(views);
    },
    checks: [
      { expected: 'none has lo alone', judge: sees(/^none +lo +127\.0\.0\.1\/8 +- /m) },
      { expected: 'host has the links of the host', judge: sees(/^ +eth0 veth +192\.168\.65\.3\/24/m) },
      {
        expected: 'bridge has no name server of Docker',
        judge: sees(/^bridge +lo +127\.0\.0\.1\/8 .* 169\.254\.53\.53$/m),
      },
      { expected: "lan is on the host's wire", judge: sees(/^ +eth0 macvlan +192\.168\.65\.128\/24/m) },
      { expected: 'cross has a second endpoint', judge: sees(/^ +eth1 veth +172\.\d+\.\d+\.\d+\/16/m) },
      { expected: 'blue has one', judge: sees(/^ +eth0 veth +172\.30\.\d+\.\d+\/16/m) },
      { expected: 'and so has green', judge: sees(/^ +eth0 veth +10\.\d+\.\d+\.\d+\/16/m) },
    ],
  },
  {
    id: 'endpoints',
    title: 'An endpoint joins a sandbox to a network',
    why:
      '`docker network connect` makes one more endpoint in a running sandbox: the container on the bridge gets eth1 on the ' +
      'macvlan network, and keeps eth0. `docker network inspect` lists the endpoints of a network.',
    on: 'docker1',
    commands: [
      'docker network connect lan bridge',
      'docker exec bridge ip -4 address',
      {
        line: "docker network inspect --format '{{range .Containers}}{{println .Name (slice .EndpointID 0 12) .IPv4Address}}{{end}}' lan",
        show: inOrder,
      },
    ],
    checks: [
      {
        expected: 'the container has an address of each network',
        judge: sees(/inet 192\.168\.65\.129\/24 .*eth1/),
      },
      { expected: 'the network has the endpoint of the first container', judge: sees(/^lan [\da-f]{12} /m) },
      { expected: 'and that of the second', judge: sees(/^bridge [\da-f]{12} /m) },
    ],
  },
  {
    id: 'shared-sandbox',
    title: 'A sandbox may have several containers',
    why:
      'With `container:NAME` a container enters the sandbox of another one: the same links, addresses and ports. The ' +
      'containers of a Kubernetes pod share one in this way.',
    on: 'docker1',
    commands: [
      runContainer('guest', 'container:bridge'),
      { line: 'docker exec bridge readlink /proc/self/ns/net', remember: { SHARED: /(net:\S+)/ } },
      'docker exec guest readlink /proc/self/ns/net',
    ],
    checks: [
      {
        expected: 'guest is in the network namespace of bridge, $SHARED',
        command: 'docker exec guest readlink /proc/self/ns/net',
        judge: (output, { known }) => ({
          seen: output.trim(),
          passed: output.trim() === known['SHARED'],
        }),
      },
    ],
  },
];
