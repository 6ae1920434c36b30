/** Texts from the store and from people: a parser answers with a value or says what is wrong, and means what it says. */
import assert from 'node:assert/strict';
import { parseOptions } from '../../src/agent/options/options.ts';
import { parseBody } from '../../src/agent/servers/request-body.ts';
import { ConnectBody } from '../../src/api/networks.ts';
import { TunnelRequest } from '../../src/api/tunnels.ts';
import { ConfigError, isCode, ParseError } from '../../src/base/errors.ts';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { DaemonJson } from '../../src/docker/daemon-json.ts';
import { forwardBlocker } from '../../src/firewall/iptables/hooks.ts';
import { parseSave } from '../../src/firewall/iptables/saved.ts';
import { planScript } from '../../src/firewall/iptables/script.ts';
import { rulesFor } from '../../src/firewall/rules.ts';
import { parseRuleset } from '../../src/inspect/trace/ruleset.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import { parseTopology } from '../../src/lab/topology/read.ts';
import {
  formatEndpointAlias,
  parseEndpointAlias,
} from '../../src/network/segment/endpoints/endpoint-alias.ts';
import { isTunnel, readTunnel } from '../../src/network/tunnel/spec.ts';
import { parseEndpoints } from '../../src/store/etcd/endpoint.ts';
import { parseNetworkConfig } from '../../src/subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../../src/subnet/lease/attributes.ts';
import { formatLeaseKey, parseLeaseKey, takenBlocksOfKey } from '../../src/subnet/lease/key.ts';
import { parseSubnetEnv } from '../../src/subnet/subnet-env.ts';
import type { FuzzTarget } from './fuzz.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A target of texts. `parse` takes a text to its canonical form, which must be its own canonical form; that is the
 * error it may throw.
 */
export function texts(
  name: string,
  seeds: readonly string[],
  refusals: readonly string[],
  parse: (text: string) => string,
): FuzzTarget {
  return {
    name,
    lenient: refusals.length === 0,
    seeds: seeds.map(seed => encoder.encode(seed)),
    accepts(input) {
      let canonical: string;
      try {
        canonical = parse(decoder.decode(input));
      } catch (error) {
        if (isCode(error, ...refusals)) return false;
        throw error;
      }
      assert.equal(parse(canonical), canonical, 'what was accepted once is accepted again, unchanged');
      return true;
    },
  };
}

const ADDRESSES = [
  '10.3.4.5',
  '0.0.0.0',
  '255.255.255.255',
  '::',
  '::1',
  'fd00::1:0:0:7',
  '::ffff:192.0.2.1',
];

const RULES = rulesFor(
  {
    nftables: false,
    blocks: [
      { network: Prefix.parse('10.5.0.0/16'), subnet: Prefix.parse('10.5.34.0/24'), devices: ['flannel.88'] },
    ],
    masquerade: true,
    forward: true,
    randomFully: true,
  },
  'ipv4',
);

const TOPOLOGY = `
segments: {a: {subnet: [10.0.0.0/24, "fd00::/64"], mtu: 1400, loss: 2.5, delay: 3}}
hosts:
  vm1: &host
    links: [{segment: a, address: 10.0.0.1, name: ens18}]
    routes: [{to: default, via: 10.0.0.2}]
    docker: {config: {bip: 10.9.0.1/24}}
    containers: {c1: {command: [sleep, "5"], flags: [--privileged]}}
  vm2:
    forwarding: true
    bridge: 10.8.0.1/24
    containers: [c1, c2]
store: {on: vm1, kind: etcd}
network: {Network: 10.5.0.0/16, Backend: {Type: vxlan}}
`;

export const textTargets: readonly FuzzTarget[] = [
  texts(
    "Docker's daemon.json",
    [
      '{"bip": "10.3.1.1/24", "mtu": 1450, "dns": ["169.254.53.53"]}\n',
      '{\n  "log-opts": {"max-size": "10m"},\n  "a": [1e3, -0.5, null, true, "\\u0041"]\n}',
    ],
    ['INVALID_CONFIG'],
    text => {
      const config = DaemonJson.parse(text);
      // What is put in and taken out again leaves all else as it was.
      const again = config.without('bip').with('bip', 1).without('bip');
      for (const key of again.keys) assert.equal(again.raw(key), config.raw(key));
      return config.text;
    },
  ),
  texts(
    'tunnel requests',
    [
      '{"name":"vxlan1","vni":1,"remote":"172.31.0.107","dev":"eth0","port":4789,"addresses":["10.0.0.106/24"],"learning":true}',
      '{"name":"six","vni":16777215,"remote":"fd31::107","local":"fd31::106","port":8472,"addresses":["fd06::1/64"],"learning":false,"mtu":1400,"ttl":3}',
      '{"name":"vxlan_docker","vni":200,"group":"239.1.1.1","dev":"eth0","port":4789,"addresses":[],"attach":"mynetwork","learning":true}',
    ],
    ['INVALID_CONFIG'],
    text => {
      const request = parseBody(text, TunnelRequest, 'tunnel');
      const read = readTunnel(request);
      if (!isTunnel(read)) throw new ConfigError('tunnel', read);
      return JSON.stringify(request);
    },
  ),
  texts(
    'topologies of labs',
    [TOPOLOGY, '{"hosts": {"vm1": {}}}', 'hosts:\n  vm1:\n  vm2: {agent: false}\n'],
    ['INVALID_CONFIG'],
    text => {
      const topology = parseTopology(text);
      try {
        planTopology(topology, { name: 'x' });
      } catch (error) {
        if (!isCode(error, 'INVALID_CONFIG')) throw error;
      }
      return JSON.stringify(topology);
    },
  ),
  texts(
    'requests to connect a container',
    [
      '{"target":"web","ips":[]}',
      '{"target":"/run/netns/web","ips":["10.9.1.7","fd00:9::7"],"mac":"02:00:00:00:00:07"}',
    ],
    ['INVALID_CONFIG'],
    text => JSON.stringify(parseBody(text, ConnectBody, 'connect')),
  ),
  texts(
    'what a link says of what it connects',
    [
      'tulle endpoint blue web 4026532201 02:00:00:00:00:07 10.9.1.2',
      'tulle endpoint b-2.x /run/netns/x 4026532202 02:00:00:00:00:08 10.9.1.3,fd00:9::1:2',
    ],
    ['INVALID_VALUE'],
    text => {
      const alias = parseEndpointAlias(text);
      if (alias === undefined) throw new ParseError('an endpoint', text, 'it is another link');
      return formatEndpointAlias(alias);
    },
  ),
  texts('IP addresses', ADDRESSES, ['INVALID_VALUE'], text => `${Ip.parse(text)}`),
  texts(
    'prefixes',
    ADDRESSES.flatMap(address => [`${address}/0`, `${address}/24`, `${address}/128`]),
    ['INVALID_VALUE'],
    text => `${Prefix.parse(text)}`,
  ),
  texts(
    'MAC addresses',
    ['c6:d2:32:6f:8f:44', '00:00:00:00:00:00'],
    ['INVALID_VALUE'],
    text => `${Mac.parse(text)}`,
  ),
  texts(
    'lease keys',
    ['10.5.34.0-24', '10.5.34.0-24&fd00:0:0:1::-64', '0.0.0.0-0&fd00:0:0:1::-64', '10.5.0.0-31'],
    ['INVALID_VALUE'],
    key => {
      // Reads what flannel would read; that is never an error.
      takenBlocksOfKey(key);
      return formatLeaseKey(parseLeaseKey(key));
    },
  ),
  texts(
    'lease attributes',
    [
      '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleHost":"5d1c"}',
      '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::3","BackendType":"vxlan","BackendV6Data":{"VNI":88}}',
    ],
    ['INVALID_VALUE'],
    text => decoder.decode(encodeAttributes(decodeAttributes(encoder.encode(text)))),
  ),
  texts(
    'network configurations',
    [
      '{"Network":"188.172.0.0/16","Backend":{"Type":"vxlan","VNI":88,"Port":4789}}',
      '{"EnableIPv4":true,"EnableIPv6":true,"Network":"10.5.0.0/16","SubnetLen":24,"SubnetMin":"10.5.1.0","SubnetMax":"10.5.250.0","IPv6Network":"fd00::/48","IPv6SubnetLen":64,"EnableNFTables":true,"FastPath":"off"}',
    ],
    ['INVALID_CONFIG'],
    text => {
      parseNetworkConfig(text);
      return text;
    },
  ),
  texts(
    'subnet files',
    [
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.34.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
      'export FLANNEL_IPV6_NETWORK="fd00::/48"\nFLANNEL_IPV6_SUBNET=\'fd00:0:0:1::1/64\' # ours\n',
    ],
    ['INVALID_VALUE'],
    text => {
      const { network, subnet } = parseSubnetEnv(text);
      const line = (name: string, block: Prefix | undefined) => (block ? `FLANNEL_${name}=${block}\n` : '');
      const canonical =
        line('NETWORK', network.ipv4) +
        line('SUBNET', subnet.ipv4) +
        line('IPV6_NETWORK', network.ipv6) +
        line('IPV6_SUBNET', subnet.ipv6);
      // The parser refuses nothing: what cannot be read is as if it were not there.
      if (canonical === '') throw new ParseError('a subnet file', text, 'nothing in it can be read');
      return canonical;
    },
  ),
  texts(
    'etcd endpoints',
    ['http://10.0.0.1:2379,https://[fd00::1]', 'etcd.example:4001', 'unix:///run/etcd.sock'],
    ['INVALID_CONFIG'],
    text =>
      parseEndpoints(text.split(','))
        .map(({ url }) => url)
        .join(),
  ),
  texts(
    "the agent's flags",
    [
      '--etcd-endpoints=http://10.0.0.1:2379\n-iface\neth0\n--ip-masq\n--healthz-port=0x1f90',
      '--iface-regex=^eth\n--public-ip=192.168.65.3\n--ip-masq=false\n-v=1',
    ],
    ['INVALID_CONFIG'],
    text => {
      parseOptions(text.split('\n'), {});
      return text;
    },
  ),
  texts(
    'iptables-save',
    [
      '*nat\n:POSTROUTING ACCEPT [0:0]\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG\n-A FLANNEL-POSTRTG -s 10.5.0.0/16 -j RETURN\nCOMMIT\n',
      '*filter\n:FORWARD DROP [3:4]\n-A FORWARD -j REJECT\nCOMMIT\n# done\n',
    ],
    [],
    text => {
      const saved = parseSave(text);
      forwardBlocker(saved);
      planScript(saved, RULES);
      return text;
    },
  ),
  texts(
    'nft list ruleset',
    [
      'table ip nat { # handle 1\n\tchain A { # handle 2\n\t\ttype nat hook output priority -100; policy accept;\n\t\ttcp dport { 1,\n\t\t\t2 } accept # handle 3\n\t}\n}\n',
      'table inet f { # handle 1\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\tchain B { # handle 1\n\t\tdrop # handle 2\n\t}\n}\n',
    ],
    [],
    text => {
      parseRuleset(text);
      return text;
    },
  ),
];
