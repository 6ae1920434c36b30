/** Question (b), answered by Tulle: an Ethernet over both hosts on which nothing known is flooded. */
import { counts, lacks, sees } from '../../scenario/judges.ts';
import type { ScenarioStep } from '../../scenario/scenario.ts';

const HOSTS = ['docker1', 'docker2'] as const;
const FDB = 'bridge fdb show dev tv-green';

export const SUPPRESSION_STEPS: readonly ScenarioStep[] = [
  {
    id: 'network',
    title: 'Let Tulle make such a network',
    why:
      'One command on one host: every host gets a bridge and a vxlan link of the new VNI. The namespaces `web1` and `web2` ' +
      'stand for containers; each host gives out addresses of a range of its own.',
    on: 'docker1',
    commands: [
      'tulle network create green --subnet 10.10.0.0/16 --internal',
      'ip netns add web1',
      { line: 'ip netns add web2', on: 'docker2' },
    ],
    equivalent: [
      'ip link add tb-green type bridge',
      'ip link add tv-green type vxlan id <VNI> local 192.168.65.3 dstport 4789 nolearning',
      'ip link set tv-green master tb-green',
      'bridge link set dev tv-green neigh_suppress on learning off',
    ],
    checks: HOSTS.map(on => ({
      expected: `${on} has the bridge, with the vxlan link as a port`,
      command: { line: 'ip -brief link show type vxlan', on },
      judge: sees(/^tv-green .*LOWER_UP/m),
      within: 30,
    })),
  },
  {
    id: 'connect',
    title: 'Connect a namespace on each host',
    why:
      'The agent puts a veth pair between bridge and namespace, gives it an address, and writes address, MAC address and host ' +
      'to the store. The other agent writes them into its FDB and neighbor table. This is what learning would find out later.',
    on: 'docker1',
    commands: [
      'tulle network connect green web1',
      { line: 'tulle network connect green web2', on: 'docker2', remember: { WEB2: /(10\.10\.\d+\.\d+)/ } },
    ],
    equivalent: [
      'ip link add <veth> type veth peer name eth0 netns web1; ...',
      'bridge fdb append <MAC> dev tv-green dst 192.168.65.4 self permanent',
      'bridge fdb add <MAC> dev tv-green master static',
      'ip neighbor add <address> lladdr <MAC> dev tb-green nud permanent',
      'bridge fdb append 00:00:00:00:00:00 dev tv-green dst 192.168.65.4',
    ],
    checks: [
      {
        expected: 'docker1 knows the MAC address of web2 and its host',
        command: FDB,
        judge: sees(/^(?!00:00)[\da-f:]{17} dst 192\.168\.65\.4 self permanent/m),
        within: 30,
      },
    ],
  },
  {
    id: 'suppressed',
    title: 'Ask by ARP: answered, and not flooded',
    why:
      'The request goes to the bridge of docker1, which knows the answer and gives it itself (neigh_suppress). Nothing crosses ' +
      'the tunnel but the ping that follows. With 100 hosts a flood would be 99 copies of every question.',
    on: 'docker1',
    commands: [
      { line: 'tcpdump -lni tv-green arp or icmp', background: 'tv-green', ready: /listening on/ },
      { line: 'ip netns exec web1 busybox arping -c 1 -w 2 -I eth0 $WEB2', mayFail: true },
      { line: 'ip netns exec web1 ping -c 1 -W 2 $WEB2', quiet: true },
    ],
    act: async stage => {
      // What was sent before the ping has been printed before it.
      const text = await stage.finish('tv-green', /echo reply/);
      const frames = text.split('\n').filter(line => / ARP, | ICMP /.test(line));
      return frames.map(line => `tv-green: ${line.replace(/^[\d:.]+ /, '')}`).join('\n');
    },
    checks: [
      {
        expected: 'arping is answered',
        judge: counts(/Received (\d+) response/, received => received === 1, 'answer'),
      },
      { expected: 'no ARP was on the tunnel', judge: lacks(/^tv-green: ARP/m, 'no ARP') },
      { expected: 'the ping was', judge: sees(/^tv-green: .*echo reply/m) },
    ],
  },
];
