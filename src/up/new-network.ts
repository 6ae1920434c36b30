/** The configuration of the network in a store that the first host keeps: made where there is none, and else kept. */
import { ConfigError } from '../base/errors.ts';
import type { Family } from '../base/ip.ts';
import { type PerFamily, perFamily, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import { RT_TABLE_MAIN } from '../netlink/route/constants.ts';
import type { Link } from '../netlink/route/objects.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { networksOf, parseNetworkConfig } from '../subnet/config/config.ts';
import { readConfig } from '../subnet/config/config-watch.ts';
import { formatNetworkConfig } from '../subnet/config/format-config.ts';
import { Registry } from '../subnet/registry.ts';
import type { StoreTrust } from '../trust/store-trust.ts';
import { chooseNetwork, takenRanges } from './free-network.ts';

/** Beyond flannel's default, and short enough for the names of devices of both families: `flannel-v6.9999`. */
const FIRST_VNI = 2;
const LAST_VNI = 9999;

/**
 * Stores a configuration where there is none.
 * @param wanted networks that are asked for
 * @param families of a new network
 * @param port of the store, on this host
 * @returns what to call the network
 * @throws ConfigError
 */
export async function ensureNetwork(
  trust: StoreTrust,
  wanted: PerFamily<Prefix>,
  families: readonly Family[],
  port: number,
): Promise<string> {
  const { authority, admin } = trust.authority.files;
  await using store = new EtcdStore({
    endpoints: [`https://127.0.0.1:${port}`],
    tls: { caFile: authority, certFile: admin.certificate, keyFile: admin.key },
  });
  const { configKey: key } = new Registry(store, { prefix: trust.site.prefix });
  const { kv } = await store.get(key);
  if (kv !== undefined) return keptNetwork(kv.value, wanted);
  const { networks, vni } = await freeOnThisHost(wanted, families);
  const text = formatNetworkConfig(networks, { Type: 'vxlan', VNI: vni });
  // What no host could use is refused before it is stored.
  parseNetworkConfig(text);
  const { ok } = await store.transact({
    compare: [{ key, target: 'version', is: '=', operand: 0n }],
    success: [{ op: 'put', key, value: new TextEncoder().encode(text) }],
  });
  if (ok) return `new network ${valuesOf(networks).join(' and ')}`;
  return await ensureNetwork(trust, wanted, families, port);
}

/** @throws ConfigError */
async function freeOnThisHost(
  wanted: PerFamily<Prefix>,
  families: readonly Family[],
): Promise<{ networks: PerFamily<Prefix>; vni: number }> {
  await using rtnetlink = connectRoute();
  const [links, addresses, routes] = await Promise.all([
    rtnetlink.links.list(),
    rtnetlink.addresses.list(),
    rtnetlink.routes.list({ table: RT_TABLE_MAIN }),
  ]);
  const nameOf = (index: number) => links.find(link => link.index === index)?.name ?? `link ${index}`;
  const taken = takenRanges(addresses, routes, nameOf);
  const networks = perFamily(family =>
    families.includes(family) ? chooseNetwork(wanted[family], family, taken) : undefined,
  );
  return { networks, vni: drawVni(links, Math.random) };
}

/** A network that is there stays as it is: another one takes their subnets from all hosts. @throws ConfigError */
function keptNetwork(value: Uint8Array, wanted: PerFamily<Prefix>): string {
  const reading = readConfig(value);
  if (reading.state === 'invalid') {
    // Its hosts say what is wrong with it, and this one starts so that it can be mended.
    return 'network with a configuration that cannot be used';
  }
  const networks = networksOf(reading.config);
  const other = valuesOf(wanted).find(prefix => !networks.some(network => network.equals(prefix)));
  if (other === undefined) return `network ${networks.join(' and ')}`;
  throw new ConfigError('command line', [
    {
      path: '--network',
      value: other.toString(),
      message: `is not the network in the store of this host, which is ${networks.join(' and ')}`,
      hint: 'omit --network; `tulle config set` changes a network',
    },
  ]);
}

/**
 * The VNI of a new network. Two overlays of one host cannot have the same (flannel's default, 1, is that of Kubernetes
 * everywhere), so it is one that no device of this host has, and drawn, because those of further hosts are not known.
 * @param links of this host. @param random in [0, 1).
 */
export function drawVni(links: readonly Pick<Link, 'name' | 'info'>[], random: () => number): number {
  const taken = new Set(
    links.flatMap(({ info }) => (info?.kind === 'vxlan' && info.id !== undefined ? [info.id] : [])),
  );
  const names = new Set(links.map(({ name }) => name));
  const isFree = (vni: number) =>
    !taken.has(vni) && !names.has(`flannel.${vni}`) && !names.has(`flannel-v6.${vni}`);
  let vni: number;
  do vni = FIRST_VNI + Math.floor(random() * (LAST_VNI - FIRST_VNI + 1));
  while (!isFree(vni));
  return vni;
}
