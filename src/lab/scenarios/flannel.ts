/** etcd, leases, VXLAN and Docker put together by hand, and the journey of one packet through them. */
import { checkOn, counts, sees, shows, showsLike } from '../scenario/judges.ts';
import type { Judge, Scenario, Stage } from '../scenario/scenario.ts';
import { restartDockerd } from '../service/docker.ts';
import { PACKET_STEPS } from './flannel/packet.ts';
import { earlierSubnet, HOSTS, onEach } from './leased-hosts.ts';

const STORE = 'http://192.168.65.3:2379';
const PREFIX = '/coreos.com/network';
const CONFIG = '{ "Network": "188.172.0.0/16", "Backend": {"Type": "vxlan", "VNI": 88, "Port": 4789}}';
const AGENT = `tulle agent --etcd-endpoints=${STORE} --etcd-prefix=${PREFIX}`;
const SUBNET_FILE = 'cat /run/flannel/subnet.env';
const DEVICE = 'ip -details link show dev flannel.88';
const NEIGHBORS = 'ip neighbor show dev flannel.88';
const FDB = 'bridge fdb show dev flannel.88';

export const SCENARIO: Scenario = {
  name: 'flannel',
  title: 'A network of leases: etcd, VXLAN and Docker',
  lesson:
    'Each host leases a subnet in etcd, and writes down how it is reached. Every other host makes three entries of its ' +
    'kernel from that: a route, a neighbor, an FDB entry. Then packets cross, and no program is on their way.',
  drawing: `
     docker1  192.168.65.3                     docker2  192.168.65.4
    +------------------------------+         +------------------------------+
    | etcd     tulle agent         |         |          tulle agent         |
    |                              |         |                              |
    |   c1   188.172.50.2          |         |          188.172.81.2   c1   |
    |    |                         |         |                          |   |
    | docker0      188.172.50.1/24 |         | 188.172.81.1/24    docker0   |
    |    |                         |         |                          |   |
    | flannel.88   188.172.50.0/32 |         | 188.172.81.0/32 flannel.88   |
    |    |   - - - - - - - - VNI 88, UDP 4789 - - - - - - - - - -       |   |
    |   eth0                       |         |                       eth0   |
    +----|-------------------------+         +--------------------------|---+
         +------------------- 192.168.65.0/24 --------------------------+
`,
  topology: {
    segments: { underlay: { subnet: '192.168.65.0/24' } },
    hosts: Object.fromEntries(
      HOSTS.map(({ host, address }) => {
        const links = [{ segment: 'underlay', address }];
        return [host, { links, forwarding: true, docker: true }];
      }),
    ),
  },
  programs: { etcd: 'etcd-server', etcdctl: 'etcd-client', pkill: 'procps' },
  steps: [
    {
      id: 'etcd',
      title: 'Start etcd on docker1',
      why:
        'The hosts must agree on who has which subnet. etcd keeps keys and values, and tells those who watch a key when ' +
        'it changes.',
      on: 'docker1',
      commands: [
        {
          line: `etcd --data-dir=/var/lib/etcd --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=${STORE}`,
          background: 'etcd',
          ready: /ready to serve client requests/,
        },
        { line: `etcdctl --endpoints=${STORE} endpoint health`, on: 'docker2' },
      ],
      checks: [{ expected: 'docker2 reaches etcd', judge: showsLike('is healthy') }],
      key: true,
    },
    {
      id: 'config',
      title: 'Describe the network',
      why:
        'One key says which addresses the network has, and how packets cross. The VNI is the number of the network in ' +
        'each VXLAN frame. An agent that does not find the key waits for it.',
      on: 'docker1',
      commands: [`etcdctl put ${PREFIX}/config '${CONFIG}'`, `etcdctl get ${PREFIX}/config`],
      checks: [{ expected: 'etcd has the configuration', judge: sees(/"VNI": 88, "Port": 4789/) }],
      key: true,
    },
    {
      id: 'agents',
      title: 'Start an agent on each host',
      why:
        'The options are those of flanneld; --iface names the link to the other hosts. The agent leases a subnet, makes ' +
        'the VXLAN device, and watches the leases of the others. It takes any free subnet, but first asks for the one in ' +
        'the file of an earlier run, so that containers keep their addresses. Here that file is written by hand: so the ' +
        'addresses are those of this text.',
      on: 'docker1',
      commands: [
        ...onEach(({ gateway }) => earlierSubnet(gateway, 1450)),
        ...onEach(({ host }) => ({
          line: `${AGENT} --iface=eth0 --ip-masq`,
          background: `agent-${host}`,
          ready: /the agent is ready/,
        })),
      ],
      equivalent: [`flanneld -etcd-endpoints=${STORE} -etcd-prefix=${PREFIX} -iface=eth0 -ip-masq &`],
      checks: HOSTS.map(({ host }) => ({
        ...checkOn(host, 'tulle status', 'the agent knows its peer', sees(/ vxlan .* ok +answers/)),
        within: 30,
      })),
      key: true,
    },
    {
      id: 'subnet-file',
      title: 'Read what was leased',
      why:
        'The agent writes it down for Docker and others. FLANNEL_SUBNET is the first address of the subnet, which is the ' +
        'address of the gateway. The MTU is that of eth0 less the 50 bytes that VXLAN adds.',
      on: 'docker1',
      commands: onEach(({ number }) => ({
        line: SUBNET_FILE,
        remember: {
          [`SUBNET${number}`]: /^FLANNEL_SUBNET=([\d.]+\/24)$/m,
          [`NET${number}`]: /^FLANNEL_SUBNET=(188\.172\.\d+)\.1\/24$/m,
        },
      })),
      checks: [
        ...HOSTS.flatMap(({ host, number }) => [
          checkOn(host, SUBNET_FILE, 'the whole network', shows('FLANNEL_NETWORK=188.172.0.0/16')),
          checkOn(host, SUBNET_FILE, 'the first address', shows(`FLANNEL_SUBNET=$NET${number}.1/24`)),
          checkOn(host, SUBNET_FILE, 'the MTU', shows('FLANNEL_MTU=1450')),
          checkOn(host, SUBNET_FILE, 'whether the agent masquerades', shows('FLANNEL_IPMASQ=true')),
        ]),
        {
          expected: 'the two subnets differ',
          judge: (_, { known: { NET1 = '', NET2 = '' } }) => ({
            seen: `${NET1}.0/24 and ${NET2}.0/24`,
            passed: NET1 !== NET2,
          }),
        },
      ],
    },
    {
      id: 'device',
      title: 'Look at the VXLAN device',
      why:
        'flannel.88 is this end of the tunnel. It has the base address of the subnet as a /32, and a MAC address. ' +
        'nolearning: the kernel does not guess from frames who is where; the agent knows. The UDP port belongs to the ' +
        'kernel: ss shows no process.',
      on: 'docker1',
      commands: [
        ...onEach(({ number }) => ({
          line: 'ip -details -4 address show dev flannel.88',
          remember: { [`MAC${number}`]: /link\/ether ([\da-f:]{17})/ },
        })),
        "ss -lunp 'sport = :4789'",
      ],
      equivalent: [
        'ip link add flannel.88 mtu 1450 type vxlan id 88 dev eth0 local 192.168.65.3 dstport 4789 nolearning',
        'ip address add $NET1.0/32 dev flannel.88',
        'ip link set flannel.88 up',
      ],
      checks: HOSTS.flatMap(({ host, number, address }) => [
        checkOn(
          host,
          'ip -brief -4 address show dev flannel.88',
          'the base address',
          shows(`$NET${number}.0/32`),
        ),
        checkOn(host, DEVICE, 'MTU 1450', showsLike('mtu 1450 ')),
        checkOn(host, DEVICE, 'VNI 88 over eth0', showsLike(`vxlan id 88 local ${address} dev eth0`)),
        checkOn(host, DEVICE, 'port 4789', showsLike('dstport 4789 nolearning')),
        checkOn(host, "ss -lunpH 'sport = :4789'", 'no process at it', sees(/:4789\s+0\.0\.0\.0:\*\s*$/)),
      ]),
    },
    {
      id: 'leases',
      title: 'See the leases in etcd',
      why:
        'The key is the subnet. The value is what a peer needs: the address of the host, and the MAC address of its end of ' +
        'the tunnel (VTEP). Each key has a time to live, which the agent renews; a host that is gone for a day is ' +
        'forgotten. Members that begin with Tulle are for other agents of Tulle; flannel ignores them.',
      on: 'docker1',
      commands: [`etcdctl get --prefix ${PREFIX}/subnets/`, 'etcdctl lease list'],
      checks: [
        ...HOSTS.map(({ host, number, address }) => ({
          expected: `the lease of ${host}, as flannel writes it`,
          command: `etcdctl get --print-value-only ${PREFIX}/subnets/$NET${number}.0-24`,
          judge: isLease(number, address),
        })),
        {
          expected: 'a time to live for each',
          judge: counts(/found (\d+) leases/, found => found === 2, 'leases'),
        },
      ],
    },
    {
      id: 'facts',
      title: 'Three facts about each peer',
      why:
        'A route: the subnet of the peer is behind its VTEP (onlink: take it as a neighbor, whatever its address). A ' +
        'neighbor entry: the MAC address of the VTEP. An FDB entry: the host where that MAC address is. They are ' +
        'permanent: nobody asks with ARP, and nothing expires.',
      on: 'docker1',
      commands: HOSTS.flatMap(({ host: on, peer }) =>
        [`ip route show $NET${peer}.0/24`, NEIGHBORS, FDB].map(line => ({ line, on })),
      ),
      equivalent: [
        'ip route add $NET2.0/24 via $NET2.0 dev flannel.88 onlink',
        'ip neighbor add $NET2.0 lladdr $MAC2 dev flannel.88 nud permanent',
        'bridge fdb add $MAC2 dev flannel.88 dst 192.168.65.4 self permanent',
      ],
      checks: HOSTS.flatMap(({ host, number, peer }) => {
        const [net, mac] = [`$NET${peer}.0`, `$MAC${peer}`];
        const other = HOSTS.find(each => each.number !== number)?.address;
        return [
          checkOn(
            host,
            `ip route show ${net}/24`,
            'route',
            showsLike(`^.* via ${net} dev flannel.88 .*onlink`),
          ),
          checkOn(host, NEIGHBORS, 'neighbor', showsLike(`^${net} lladdr ${mac} PERMANENT`)),
          checkOn(host, FDB, 'FDB entry', showsLike(`^${mac} dst ${other} self permanent`)),
        ];
      }),
    },
    {
      id: 'docker',
      title: 'Give the subnet to Docker',
      why:
        'bip is the address of docker0, and with it the subnet of all containers; mtu is what fits into the tunnel. ' +
        'ip-masq is off: the agent masquerades instead, but not between containers. Docker reads this when it starts. (By ' +
        'hand, in a shell outside of the lab: `tulle lab docker restart docker1 --name flannel`, and the same for docker2.)',
      on: 'docker1',
      commands: onEach(({ number }) => ({
        line: 'tee /etc/docker/daemon.json',
        input: `{ "bip": "$SUBNET${number}", "mtu": 1450, "ip-masq": false }\n`,
        quiet: true,
      })),
      act: restartDocker,
      equivalent: ['systemctl restart docker'],
      checks: HOSTS.map(({ host, number }) =>
        checkOn(
          host,
          'ip -brief -4 address show dev docker0',
          'docker0 has the first address',
          shows(`$SUBNET${number}`),
        ),
      ),
      key: true,
    },
    {
      id: 'containers',
      title: 'Start a container on each host',
      why: 'Docker gives each the next address of the subnet, and the MTU.',
      on: 'docker1',
      commands: [
        ...onEach(() => ({
          line: 'docker run --detach --init=false --name c1 --hostname c1 busybox sleep 1d',
          quiet: true,
        })),
        ...onEach(({ number }) => ({
          line: "docker inspect --format '{{.NetworkSettings.IPAddress}} {{.NetworkSettings.SandboxKey}}' c1",
          remember: { [`IP${number}`]: /^([\d.]+) /, [`NETNS${number}`]: /\/var(\/run\/docker\/netns\/\w+)/ },
        })),
      ],
      checks: HOSTS.flatMap(({ host, number }) => {
        const line = 'docker exec c1 ip address show dev eth0';
        return [
          checkOn(host, line, 'an address of the subnet', showsLike(`inet $NET${number}\\.\\d+/24`)),
          checkOn(host, line, 'the MTU', showsLike('mtu 1450')),
        ];
      }),
      key: true,
    },
    ...PACKET_STEPS,
  ],
};

/** flannel's members of a lease. */
function isLease(number: number, address: string): Judge {
  return (output, { known }) => {
    const lease = JSON.parse(output || '{}') as Record<string, unknown>;
    const members = Object.entries(lease).filter(([name]) => !name.startsWith('Tulle'));
    const seen = JSON.stringify(Object.fromEntries(members));
    const expected = {
      PublicIP: address,
      PublicIPv6: null,
      BackendType: 'vxlan',
      BackendData: { VNI: 88, VtepMAC: known[`MAC${number}`] },
    };
    return { seen, passed: seen === JSON.stringify(expected) };
  };
}

async function restartDocker(stage: Stage): Promise<string> {
  await Promise.all(HOSTS.map(({ host }) => restartDockerd(stage.host(host), stage.signal)));
  return '';
}
