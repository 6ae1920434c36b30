/** The cluster that `bench converge` makes up: its network, its leases, and who writes them into the store. */
import type { Prefix } from '../../base/prefix.ts';
import { EtcdStore } from '../../store/etcd/etcd-store.ts';
import type { TxnOperation } from '../../store/store.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../subnet/config/config.ts';
import { encodeAttributes } from '../../subnet/lease/attributes.ts';
import { formatLeaseKey } from '../../subnet/lease/key.ts';
import type { LeaseAttributes } from '../../subnet/lease/lease.ts';
import { Registry } from '../../subnet/registry.ts';
import { pathTo } from '../program/bench-host.ts';

/** Room for 65,000 hosts. Agents that lease a subnet in earnest take one that no lease of ours has. */
const NETWORK = JSON.stringify({
  Network: '10.0.0.0/8',
  SubnetMin: '10.240.0.0',
  Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
});

export const CONFIG: NetworkConfig = parseNetworkConfig(NETWORK).config;

export const PREFIX = '/bench/network';

/** Operations of one transaction; etcd's limit is 128. */
const BATCH = 100;

/** Milliseconds that the store may take for one write. A disk that others use takes its time. */
const TIMEOUT = 60_000;

export interface SyntheticLease {
  readonly key: string;
  readonly subnet: Prefix;
  readonly attributes: LeaseAttributes;
}

/** The lease of host `number`, from 0; another `generation` has another address and another device. */
export function leaseOf(number: number, generation = 0): SyntheticLease {
  const { subnet, mac, underlayIp } = pathTo(number, generation);
  return {
    key: formatLeaseKey({ ipv4: subnet }),
    subnet,
    attributes: {
      publicIp: { ipv4: underlayIp },
      backendType: 'vxlan',
      backendData: { ipv4: { VNI: 88, VtepMAC: mac.toString() } },
      hostId: `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`,
    },
  };
}

/** Writes what the hosts of the cluster would write. */
export class LeaseWriter implements AsyncDisposable {
  readonly #store: EtcdStore;
  readonly #registry: Registry;

  private constructor(endpoint: string) {
    this.#store = new EtcdStore({ endpoints: [endpoint], timing: { call: TIMEOUT } });
    this.#registry = new Registry(this.#store, { prefix: PREFIX });
  }

  /** Connected, and the network's configuration is written. */
  static async open(endpoint: string): Promise<LeaseWriter> {
    const writer = new LeaseWriter(endpoint);
    await writer.#store.put(writer.#registry.configKey, new TextEncoder().encode(NETWORK));
    return writer;
  }

  /** Resolves when the store has acknowledged the lease. */
  async write(lease: SyntheticLease): Promise<void> {
    await this.#store.put(this.#registry.pathOf(lease.key), encodeAttributes(lease.attributes));
  }

  /** Leases of the hosts from number `first` to before `end`, in few transactions. */
  async fill(first: number, end: number, generation = 0): Promise<void> {
    for (let next = first; next < end; next += BATCH) {
      const count = Math.min(BATCH, end - next);
      await this.#store.transact({
        compare: [],
        success: Array.from({ length: count }, (_, index) => this.#put(leaseOf(next + index, generation))),
      });
    }
  }

  /** Makes the store forget its history: who was away has to read everything again. */
  async compact(): Promise<void> {
    const { revision } = await this.#store.status();
    await this.#store.compact(revision);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  #put({ key, attributes }: SyntheticLease): TxnOperation {
    return { op: 'put', key: this.#registry.pathOf(key), value: encodeAttributes(attributes) };
  }
}
