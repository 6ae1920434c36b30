/** Faults of the store, and of what is written in it. */
import type { Fault } from '../fault.ts';
import type { Scene, SceneHost } from '../scene.ts';
import { freeze, host, kill, restart, shell, thaw } from '../step.ts';

const place = 'store' as const;
const on = 'host' as const;
const named = (...codes: string[]) => ({ here: codes, there: codes });

const keyOf = ({ prefix }: Scene, { subnet }: SceneHost) => `${prefix}/subnets/${subnet.replace('/', '-')}`;

/** Puts the lease of the host with a part of it replaced, on the same store lease. */
const edit = (scene: Scene, from: string, to: string) => {
  const etcdctl = `etcdctl --endpoints=${scene.endpoint}`;
  const key = keyOf(scene, scene.host);
  return shell(
    'store',
    `${etcdctl} get --print-value-only ${key} | sed s/${from}/${to}/ | ${etcdctl} put --ignore-lease ${key}`,
  );
};

export const STORE_FAULTS: readonly Fault[] = [
  {
    name: 'store-killed',
    place,
    on,
    title: 'the store is dead',
    story:
      'Containers talk as before. No host can join, and changes are not seen. By hand: `tulle status` on any host says no contact.',
    effect: 'later',
    plant: () => [kill('store')],
    mend: () => [restart('store')],
    finds: named('STORE_UNAVAILABLE'),
    names: ['host', 'peer'],
  },
  {
    name: 'store-frozen',
    place,
    on,
    title: 'the store accepts connections and answers nothing',
    story: 'Its disk hangs. By hand: `tulle config get` waits.',
    effect: 'later',
    plant: () => [freeze('store')],
    mend: () => [thaw('store')],
    finds: named('STORE_UNAVAILABLE'),
    names: ['host', 'peer'],
  },
  {
    name: 'store-port-closed',
    place,
    on,
    title: 'a firewall keeps the host from the store',
    story: 'Containers talk, and the host does not hear of changes any more. By hand: `nc -vz STORE 2379`.',
    effect: 'later',
    plant: () => [
      host('iptables -t mangle -I OUTPUT -p tcp --dport 2379 -j DROP'),
      host('iptables -t mangle -I PREROUTING -p tcp --dport 2379 -j DROP'),
    ],
    mend: () => [
      host('iptables -t mangle -D OUTPUT -p tcp --dport 2379 -j DROP'),
      host('iptables -t mangle -D PREROUTING -p tcp --dport 2379 -j DROP'),
    ],
    finds: named('STORE_UNAVAILABLE', 'FIREWALL_DROP'),
    names: ['host', 'peer'],
  },
  {
    name: 'lease-deleted',
    place,
    on,
    title: 'the lease of a host was deleted while its agent was dead',
    story:
      'All other hosts remove the way to it at once. A live agent would have written it again. By hand: `tulle lease list` on any ' +
      'host.',
    effect: 'all',
    plant: scene => [
      kill('agent'),
      shell('store', `etcdctl --endpoints=${scene.endpoint} del ${keyOf(scene, scene.host)}`),
    ],
    mend: () => [restart('agent')],
    finds: { here: ['LEASE_GONE', 'AGENT_DOWN', 'PACKET_LOST'], there: [] },
  },
  {
    name: 'lease-wrong-address',
    place,
    on,
    title: 'the lease of a host has a wrong address',
    story:
      'Written by hand, or by a host that moved and died. The others send their packets to an address that nobody has. By hand: ' +
      '`tulle lease list` beside `ip address` on the host.',
    effect: 'all',
    plant: scene => [kill('agent'), edit(scene, scene.host.address, scene.nobody)],
    mend: () => [restart('agent')],
    finds: {
      here: ['LEASE_WRONG', 'AGENT_DOWN', 'PACKET_LOST'],
      there: ['LEASE_WRONG', 'UNDERLAY_SILENT', 'AGENT_DOWN', 'PACKET_LOST'],
    },
  },
  {
    name: 'lease-wrong-mac',
    place,
    on,
    title: 'the lease of a host has a wrong MAC address',
    story:
      'The others address their frames to a tunnel that does not exist; the packets arrive, and the kernel drops them. By hand: ' +
      '`tulle lease show` beside `ip link show flannel.88`.',
    effect: 'all',
    plant: scene => [kill('agent'), edit(scene, scene.host.tunnelMac, '02:00:00:00:66:06')],
    mend: () => [restart('agent')],
    finds: {
      here: ['TUNNEL_MAC'],
      there: ['LEASE_WRONG', 'AGENT_DOWN', 'PACKET_LOST'],
    },
  },
  {
    name: 'lease-foreign',
    place,
    on,
    title: 'another lease has the address of this host',
    story:
      "A second lease names this host's address: half of the hosts may follow it. By hand: `tulle lease list` has the address twice.",
    effect: 'later',
    plant: ({ host: { address }, network, prefix, endpoint }) => [
      shell(
        'store',
        `etcdctl --endpoints=${endpoint} put ${prefix}/subnets/${network.split('.').slice(0, 2).join('.')}.255.0-24 ` +
          `'{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"02:00:00:00:66:07"}}'`,
      ),
    ],
    mend: ({ network, prefix, endpoint }) => [
      shell(
        'store',
        `etcdctl --endpoints=${endpoint} del ${prefix}/subnets/${network.split('.').slice(0, 2).join('.')}.255.0-24`,
      ),
    ],
    finds: {
      here: ['DUPLICATE_PUBLIC_IP', 'SHARED_PUBLIC_IP', 'LEASE_WRONG'],
      there: ['DUPLICATE_PUBLIC_IP', 'SHARED_PUBLIC_IP', 'LEASE_WRONG'],
    },
    names: ['host', 'peer'],
  },
  {
    name: 'config-deleted',
    place,
    on,
    title: "the network's configuration was deleted from the store",
    story:
      'The agents go on with what they know and warn; a host that starts now waits for ever. By hand: `tulle config get`.',
    effect: 'later',
    plant: ({ endpoint, prefix }) => [
      shell(
        'store',
        `etcdctl --endpoints=${endpoint} get --print-value-only ${prefix}/config > /var/lib/config.saved && ` +
          `etcdctl --endpoints=${endpoint} del ${prefix}/config`,
      ),
    ],
    mend: ({ endpoint, prefix }) => [
      shell('store', `etcdctl --endpoints=${endpoint} put ${prefix}/config < /var/lib/config.saved`),
    ],
    finds: { here: ['CONFIG_REFUSED'], there: ['CONFIG_REFUSED'] },
    names: ['host', 'peer'],
  },
];
