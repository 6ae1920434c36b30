/**
 * What flanneld does with one more lease (flannel pkg/subnet/etcd/registry.go, pkg/backend/vxlan/vxlan_network.go), in a
 * process of its own beside the agents: it receives the event, asks the store how long the lease lasts, and sends
 * three requests, each answered before the next one. On our own clients of store and kernel.
 */
import process from 'node:process';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { SUBNET_FILE } from '../../console/defaults.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { EtcdStore } from '../../store/etcd/etcd-store.ts';
import type { KeyValue } from '../../store/store.ts';
import { parseLeaseKey } from '../../subnet/lease/key.ts';
import { Registry } from '../../subnet/registry.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { Netns } from '../../sys/netns.ts';
import { BENCH_DEVICE } from '../program/bench-host.ts';
import { flannelChanges } from '../program/shapes.ts';
import type { HostProgram } from './agent.ts';
import { PREFIX } from './cluster.ts';

/** RTPROT_BOOT, include/uapi/linux/rtnetlink.h: what a route has whose maker names no protocol. */
const PROTOCOL = 3;

/** @param flanneld path of a real flanneld, to be measured instead of its procedure. */
export function flannelProgram(flanneld?: string): HostProgram {
  if (flanneld === undefined) {
    return {
      name: 'flannel',
      protocol: PROTOCOL,
      program: process.execPath,
      args: endpoint => [import.meta.filename, endpoint],
      // The procedure begins where flanneld has its device.
      prepare: benchHost => benchHost.addDevice(),
    };
  }
  const flags = (endpoint: string) => [
    `--etcd-endpoints=${endpoint}`,
    `--etcd-prefix=${PREFIX}`,
    '--iface=eth0',
    '--ip-masq',
  ];
  return { name: 'flannel', protocol: PROTOCOL, program: flanneld, args: flags };
}

/** Follows the store until the process is ended. */
async function follow(endpoint: string): Promise<void> {
  await using store = new EtcdStore({ endpoints: [endpoint] });
  const { subnetsPrefix } = new Registry(store, { prefix: PREFIX });
  using netns = Netns.current();
  await using rtnetlink = connectRoute({ netns });
  const index = (await rtnetlink.links.get(BENCH_DEVICE))?.index ?? 0;
  const add = async ({ key, value, lease }: KeyValue) => {
    await store.timeToLive(lease);
    const subnet = parseLeaseKey(key.slice(subnetsPrefix.length + 1)).ipv4;
    const { PublicIP, BackendData } = JSON.parse(new TextDecoder().decode(value)) as FlannelLease;
    if (subnet === undefined) return;
    const path = {
      link: BENCH_DEVICE,
      subnet,
      gateway: subnet.ip,
      mac: Mac.parse(BackendData.VtepMAC),
      underlayIp: Ip.parse(PublicIP),
    };
    for (const change of flannelChanges(index, path)) {
      const [error] = await rtnetlink.apply([change]);
      if (error !== undefined) throw error;
    }
  };
  const { signal } = new AbortController();
  for await (const update of store.observe(subnetsPrefix, { signal })) {
    if (update.type === 'events') {
      for (const event of update.events) if (event.type === 'put') await add(event.kv);
    } else if (update.type === 'snapshot') {
      for (const kv of update.kvs) await add(kv);
      await writeFileAtomic(SUBNET_FILE, '');
    }
  }
}

interface FlannelLease {
  readonly PublicIP: string;
  readonly BackendData: { readonly VtepMAC: string };
}

if (import.meta.main) await follow(process.argv[2] ?? '');
