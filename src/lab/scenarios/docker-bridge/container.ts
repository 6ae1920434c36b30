/** The first part: what Docker makes at its start, and what a published port adds. */
import { sees } from '../../scenario/judges.ts';
import type { Judge, ScenarioStep } from '../../scenario/scenario.ts';

/** A line with the address of the container in the place of `$CONTAINER`. */
const seesOfContainer =
  (pattern: string): Judge =>
  (output, stage) => {
    const address = (stage.known['CONTAINER'] ?? '').replaceAll('.', '\\.');
    return sees(new RegExp(pattern.replaceAll('$CONTAINER', address), 'm'))(output, stage);
  };

export const CONTAINER_STEPS: readonly ScenarioStep[] = [
  {
    id: 'chains',
    title: 'Look at what dockerd has made',
    why:
      'No container runs yet. In the table nat, DOCKER is for published ports: packets to an address of this host are ' +
      'sent there, those that come in (PREROUTING) and those of the host itself (OUTPUT, but for 127.0.0.0/8). ' +
      'POSTROUTING gives packets of containers that leave by another link than docker0 the address of the host. In the ' +
      'table filter, FORWARD asks DOCKER-USER first, which is for rules of your own; the DOCKER-ISOLATION chains keep ' +
      "Docker's networks apart; DOCKER will accept what is published.",
    on: 'docker1',
    commands: ['ip -brief address show docker0', 'iptables -t nat -S', 'iptables -S'],
    checks: [
      { expected: 'docker0 has 172.17.0.1/16', judge: sees(/^docker0 .*172\.17\.0\.1\/16/m) },
      {
        expected: 'what comes in for this host goes to DOCKER',
        judge: sees(/^-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER/m),
      },
      {
        expected: 'so does what the host itself sends',
        judge: sees(/^-A OUTPUT .*--dst-type LOCAL -j DOCKER/m),
      },
      {
        expected: 'containers get to the world with the address of the host',
        judge: sees(/^-A POSTROUTING -s 172\.17\.0\.0\/16 ! -o docker0 -j MASQUERADE/m),
      },
      { expected: 'FORWARD asks DOCKER-USER', judge: sees(/^-A FORWARD -j DOCKER-USER/m) },
      // Docker 28 has gathered its chains below DOCKER-FORWARD.
      {
        expected: "and Docker's own chains",
        judge: sees(/^-A FORWARD -j DOCKER-(ISOLATION-STAGE-1|FORWARD)/m),
      },
      { expected: 'the policy of FORWARD is DROP', judge: sees(/^-P FORWARD DROP/m) },
    ],
  },
  {
    id: 'container',
    title: 'Run a web server, and publish its port',
    why: 'The container listens on port 80 of its own address. `-p 10080:80` makes port 10080 of the host lead there.',
    on: 'docker1',
    commands: [
      `docker run --detach --name web --publish 10080:80 busybox sh -c 'mkdir /www && echo hello > /www/index.html && exec httpd -f -h /www'`,
      {
        line: `docker inspect --format '{{.NetworkSettings.Networks.bridge.IPAddress}}' web`,
        remember: { CONTAINER: /^([\d.]+)$/m },
      },
    ],
    checks: [{ expected: 'the container is the first one on docker0', judge: sees(/^172\.17\.0\.2$/m) }],
    key: true,
  },
  {
    id: 'rules',
    title: 'See what the port has added',
    why:
      'Three rules for one port. DNAT replaces the destination. FORWARD would drop the packet by its policy, so the chain ' +
      'DOCKER accepts it, with the new destination: NAT comes first. The third rule is for a container that calls its ' +
      'own published port: without it the server would answer itself.',
    on: 'docker1',
    commands: ['iptables -t nat -S DOCKER', 'iptables -S DOCKER', 'iptables -t nat -S POSTROUTING'],
    checks: [
      {
        expected: 'port 10080 becomes port 80 of $CONTAINER',
        judge: seesOfContainer('^-A DOCKER .*--dport 10080 -j DNAT --to-destination $CONTAINER:80'),
      },
      {
        expected: 'packets to it are accepted',
        judge: seesOfContainer('^-A DOCKER -d $CONTAINER/32 .*-o docker0 .*--dport 80 -j ACCEPT'),
      },
    ],
  },
  {
    id: 'request',
    title: 'Ask for the page, from another host',
    why: 'The client knows docker1 alone: it has no route to 172.17.0.0/16, and needs none.',
    on: 'client',
    commands: [{ line: 'busybox wget -q -O - http://192.168.65.3:10080/', mayFail: true }],
    checks: [
      {
        expected: 'the page comes',
        command: { line: 'busybox wget -q -O - http://192.168.65.3:10080/', mayFail: true },
        judge: sees(/^hello$/m),
        // The server may be about to start.
        within: 30,
      },
    ],
  },
];
