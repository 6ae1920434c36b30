/** What the commands of a fault are about: addresses and names of a lab, as text without spaces. */

export interface SceneContainer {
  readonly name: string;
  readonly ip: string;
  readonly mac: string;
  /** The host's end of its link. */
  readonly hostLink: string;
}

export interface SceneHost {
  readonly name: string;
  /** On the underlay, and its length. */
  readonly address: string;
  readonly length: string;
  readonly uplink: string;
  readonly uplinkMac: string;
  /** Its end in the fabric. */
  readonly port: string;
  readonly bridge: string;
  readonly bridgeMac: string;
  /** Of the bridge: what containers have as their gateway. */
  readonly gateway: string;
  /** The leased block, its length, its two halves, and the last address in it. */
  readonly subnet: string;
  readonly subnetLength: string;
  readonly halves: readonly [string, string];
  readonly last: string;
  readonly tunnel: string;
  readonly tunnelAddress: string;
  readonly tunnelMac: string;
  /** Its first container. */
  readonly container: SceneContainer;
}

export interface Scene {
  /** The overlay's block. */
  readonly network: string;
  readonly vni: string;
  readonly port: string;
  readonly mtu: string;
  /** An address of the underlay that nobody has. */
  readonly nobody: string;
  readonly segment: string;
  readonly endpoint: string;
  readonly prefix: string;
  readonly host: SceneHost;
  readonly container: SceneContainer;
  readonly sibling: SceneContainer;
  readonly peer: SceneHost;
}

/** Names in place of values, for the explanation of a fault without a lab. */
export const PLACEHOLDERS: Scene = scenery('HOST', 'PEER');

function scenery(host: string, peer: string): Scene {
  const containerOf = (name: string): SceneContainer => ({
    name,
    ip: `${name}_IP`,
    mac: `${name}_MAC`,
    hostLink: `${name}_VETH`,
  });
  const hostOf = (name: string): SceneHost => ({
    name,
    address: `${name}_ADDRESS`,
    length: '24',
    uplink: 'eth0',
    uplinkMac: `${name}_MAC`,
    port: name,
    bridge: 'docker0',
    bridgeMac: `${name}_BRIDGE_MAC`,
    gateway: `${name}_GATEWAY`,
    subnet: `${name}_SUBNET`,
    subnetLength: '24',
    halves: [`${name}_SUBNET_HALF1`, `${name}_SUBNET_HALF2`],
    last: `${name}_SUBNET_LAST`,
    tunnel: 'flannel.VNI',
    tunnelAddress: `${name}_TUNNEL_IP`,
    tunnelMac: `${name}_TUNNEL_MAC`,
    container: containerOf(`${name}_CONTAINER`),
  });
  return {
    network: 'NETWORK',
    vni: 'VNI',
    port: 'PORT',
    mtu: 'MTU',
    nobody: 'UNUSED_ADDRESS',
    segment: 'underlay',
    endpoint: 'STORE',
    prefix: '/coreos.com/network',
    host: hostOf(host),
    container: containerOf('CONTAINER'),
    sibling: containerOf('SIBLING'),
    peer: hostOf(peer),
  };
}
