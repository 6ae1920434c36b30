/** The text of a new network's configuration, as every flanneld and every agent reads it. */
import { FAMILIES } from '../../base/ip.ts';
import type { PerFamily } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { CONFIG_KEYS } from './family-config.ts';

/** What is on without being named (flannel pkg/subnet/config.go). */
const ON_BY_DEFAULT = { ipv4: true, ipv6: false } as const;

/** @param networks of each family of the network. @param backend its `Backend` object. */
export function formatNetworkConfig(networks: PerFamily<Prefix>, backend: object): string {
  const members = FAMILIES.flatMap(family => {
    const { enable, network } = CONFIG_KEYS[family];
    const block = networks[family];
    const isOn = block !== undefined;
    return [
      ...(isOn === ON_BY_DEFAULT[family] ? [] : [[enable, isOn] as const]),
      ...(isOn ? [[network, block.toString()] as const] : []),
    ];
  });
  return JSON.stringify({ ...Object.fromEntries(members), Backend: backend });
}
