/** What the first way leaves to luck, beside large packets. */
import { counts, sees } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';

const ask = (ip: string): CommandSpec => ({
  line: `nsenter --net=$SANDBOX1 busybox arping -c 1 -w 2 -I eth0 ${ip}`,
  mayFail: true,
});

const twoAnswers = counts(/Received (\d+) response/, received => received === 2, 'answers');

export const LUCK_STEPS: readonly ScenarioStep[] = [
  {
    id: 'two-gateways',
    title: 'Left to luck: who is the gateway?',
    why:
      'Both bridges have 172.18.0.1, and ARP now reaches both. Which answer c1 believes is chance. If it is that of vm2, ' +
      'what c1 sends to the outside goes through the tunnel first, and stops when vm2 does.',
    on: 'vm1',
    commands: [ask('172.18.0.1')],
    checks: [{ expected: 'two hosts answer one question', judge: twoAnswers }],
  },
  {
    id: 'same-address',
    title: 'Left to luck: who has an address?',
    why:
      'The Docker of vm1 does not know that 172.18.0.3 is in use on vm2, and gives it to its next container. Even the MAC ' +
      'address is the same, for this Docker makes it from the IP address. So the bridge sends to whichever of the two sent ' +
      'last, and connections break without an error.',
    on: 'vm1',
    commands: [
      { line: 'docker run --detach --name c3 --net mynetwork busybox sleep 99999', quiet: true },
      "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}' c3",
      {
        line: "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}' c2",
        on: 'vm2',
      },
      ask('172.18.0.3'),
      { line: 'docker rm --force c3', quiet: true },
    ],
    checks: [
      { expected: 'c3 got the address of c2', judge: sees(/^172\.18\.0\.3 /m) },
      { expected: 'two containers answer one question', judge: twoAnswers },
    ],
  },
];
