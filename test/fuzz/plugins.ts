/** What container runtimes say of containers: in the environment, in configurations, in results of other plugins. */

import { ConfigError, ParseError } from '../../src/base/errors.ts';
import { describeConflist } from '../../src/host/cni/conflist.ts';
import { judgeCniConfig } from '../../src/inspect/checks/cni-config.ts';
import { readCniConfig } from '../../src/plugin/cni/cni-config.ts';
import { CniError } from '../../src/plugin/cni/cni-error.ts';
import { formatReservation, parseReservation } from '../../src/plugin/cni/cni-reservations.ts';
import { readEnvironment } from '../../src/plugin/cni/environment.ts';
import { readPodmanContainer, readPodmanNetwork } from '../../src/plugin/netavark/netavark-input.ts';
import type { FuzzTarget } from './fuzz.ts';
import { texts } from './texts.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A target that refuses with one of these classes, and takes the rest. */
function reading(name: string, seeds: readonly string[], read: (text: string) => unknown): FuzzTarget {
  return {
    name,
    seeds: seeds.map(seed => encoder.encode(seed)),
    accepts(input) {
      try {
        read(decoder.decode(input));
        return true;
      } catch (error) {
        if (error instanceof CniError || error instanceof ConfigError) return false;
        throw error;
      }
    },
  };
}

const CONFIGS = [
  '{"cniVersion":"1.0.0","name":"net","type":"tulle","network":"blue","keep":true,"dns":{"nameservers":["192.0.2.1"]}}',
  '{"cniVersion":"0.4.0","name":"net","type":"tulle","runtimeConfig":{"ips":["10.9.0.7/16"],"mac":"02:00:00:00:00:07","aliases":{"net":["db"]},"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":""}]}}',
  '{"cniVersion":"1.1.0","name":"net","type":"tulle","cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]}',
  '{"cniVersion":"1.0.0","name":"net","type":"tulle","prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/x"}],"ips":[{"address":"10.3.4.2/24","gateway":"10.3.4.1","interface":0}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}}',
];

export const pluginTargets: readonly FuzzTarget[] = [
  reading('configurations of CNI', CONFIGS, text => readCniConfig(text, false, new Map())),
  reading(
    'configurations of tulle-ipam',
    ['{"cniVersion":"1.0.0","name":"net","type":"bridge","ipam":{"type":"tulle-ipam","keep":true}}'],
    text => readCniConfig(text, true, new Map([['IP', '10.3.4.7']])),
  ),
  reading(
    'environments of CNI',
    [
      'CNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0\nCNI_NETNS=/run/netns/c1\nCNI_ARGS=K8S_POD_NAME=web;IP=10.3.4.7',
      'CNI_COMMAND=GC\nCNI_PATH=/opt/cni/bin',
    ],
    text =>
      readEnvironment(Object.fromEntries(text.split('\n').map(line => line.split(/=(.*)/s).slice(0, 2)))),
  ),
  reading(
    'networks of podman',
    [
      '{"name":"blue","driver":"tulle","subnets":[{"subnet":"10.9.0.0/16","gateway":"10.9.0.1"}],"options":{"tulle.keep":"true"}}',
    ],
    readPodmanNetwork,
  ),
  reading(
    'containers of podman',
    [
      '{"container_id":"c1","container_name":"web","port_mappings":[{"container_port":80,"host_ip":"","host_port":8080,"protocol":"tcp,udp","range":2}],"network":{"name":"blue"},"network_options":{"interface_name":"eth0","static_ips":["10.9.0.7"],"static_mac":"02:00:00:00:00:07","aliases":["a"]}}',
    ],
    readPodmanContainer,
  ),
  texts(
    'lists of other plugins',
    [
      '{"cniVersion":"1.0.0","name":"podman","plugins":[{"type":"bridge"},{"type":"portmap"}]}',
      '{"name":"x","type":"tulle"}',
    ],
    [],
    text => {
      describeConflist('10-x.conflist', text);
      const there = { hasProgram: false, isThere: () => false, status: undefined };
      judgeCniConfig({ lists: new Map([['x', text]]), ...there });
      return text;
    },
  ),
  texts(
    'addresses that tulle-ipam has given',
    ['{"id":"9f0c41d2/c1/eth0","network":"default","ips":["10.3.4.7","fd00::7"]}'],
    ['INVALID_VALUE'],
    text => {
      const reservation = parseReservation(text);
      if (reservation === undefined) throw new ParseError('a reservation', text, 'it is none');
      return formatReservation(reservation);
    },
  ),
];
