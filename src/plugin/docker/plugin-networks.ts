/**
 * The Docker networks of this plugin: on the disk of this host, because Docker does not tell of them again after a
 * restart, neither of its own nor of the agent's.
 *
 *     <state-dir>/docker-networks.json    {"version":1,"networks":[{"id":"331ef3...","name":"blue",...}]}
 */
import { readFile, rename } from 'node:fs/promises';
import * as v from 'valibot';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { isCode } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily, familiesOf, mapFamilies, valuesOf } from '../../base/per-family.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import { removeUnfinished, writeFileAtomic } from '../../sys/file.ts';
import type { PluginNetwork } from './plugin-network.ts';
import { formatPoolId, isSamePool, type PoolId, parsePoolId } from './pool-id.ts';

export const DOCKER_NETWORKS_FILE = 'docker-networks.json';

const flag = v.boolean();
const text = v.string();
const ips = v.array(text);

const NetworksInFile = v.object({
  version: v.literal(1),
  networks: v.array(
    v.object({
      id: text,
      name: v.exactOptional(text),
      options: v.object({
        network: v.exactOptional(text),
        mtu: v.exactOptional(v.number()),
        dns: flag,
        keep: flag,
      }),
      internal: flag,
      ipv6: flag,
      pools: ips,
      gateways: ips,
      reserved: ips,
    }),
  ),
});

export class PluginNetworks {
  readonly #path: string;
  readonly #clock: Clock;
  /** By id, with the time of the monotonic clock at which each came. */
  readonly #networks = new Map<string, { readonly network: PluginNetwork; readonly since: number }>();
  /** Writes are one after the other. */
  #saving: Promise<void> = Promise.resolve();
  /** Grows with every change. */
  readonly version = new Watchable(0);

  private constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Reads what there is. What makes no sense is put aside as `.damaged`; never fails. */
  static async open(path: string, clock: Clock): Promise<PluginNetworks> {
    const networks = new PluginNetworks(path, clock);
    await removeUnfinished(path);
    try {
      const { networks: kept } = v.parse(NetworksInFile, JSON.parse(await readFile(path, 'utf8')));
      for (const one of kept) {
        const pools = byFamily(...one.pools.map(parsePoolId));
        const gateways = byFamily(...one.gateways.map(Ip.parse));
        const network = { ...one, pools, gateways, reserved: one.reserved.map(Ip.parse) };
        // Before the first look of Docker's own list: nothing is too new for it.
        networks.#networks.set(one.id, { network, since: Number.NEGATIVE_INFINITY });
      }
    } catch (error) {
      if (!isCode(error, 'ENOENT')) await rename(path, `${path}.damaged`).catch(() => undefined);
    }
    return networks;
  }

  get(id: string): PluginNetwork | undefined {
    return this.#networks.get(id)?.network;
  }

  list(): readonly PluginNetwork[] {
    return [...this.#networks.values()].map(({ network }) => network);
  }

  /** Those that were there before this time of the monotonic clock. */
  before(time: number): readonly PluginNetwork[] {
    return [...this.#networks.values()].filter(({ since }) => since < time).map(({ network }) => network);
  }

  ofPool(pool: PoolId): PluginNetwork | undefined {
    return this.list().find(({ pools }) => {
      const own = pools[pool.family];
      return own !== undefined && isSamePool(own, pool);
    });
  }

  /** Onto the disk; in place of one of the same id. */
  async put(network: PluginNetwork): Promise<void> {
    this.#networks.set(network.id, { network, since: this.#clock.monotonic() });
    await this.#changed();
  }

  async name(id: string, name: string): Promise<void> {
    const found = this.#networks.get(id);
    if (found === undefined || found.network.name === name) return;
    this.#networks.set(id, { ...found, network: { ...found.network, name } });
    await this.#changed();
  }

  /** Of one that is gone: nothing to do. */
  async remove(id: string): Promise<void> {
    if (this.#networks.delete(id)) await this.#changed();
  }

  #changed(): Promise<void> {
    increment(this.version);
    const written = this.#saving.then(() => this.#save());
    this.#saving = written.catch(() => undefined);
    return written;
  }

  #save(): Promise<void> {
    const content = {
      version: 1,
      networks: this.list().map(({ id, name, options, internal, ipv6, pools, gateways, reserved }) => ({
        id,
        ...defined({ name }),
        options,
        internal,
        ipv6,
        pools: [...valuesOf(mapFamilies(pools, formatPoolId))],
        gateways: familiesOf(gateways).map(family => `${gateways[family]}`),
        reserved: reserved.map(String),
      })),
    } satisfies v.InferInput<typeof NetworksInFile>;
    return writeFileAtomic(this.#path, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  }
}
