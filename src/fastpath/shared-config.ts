/** What the agent tells the programs, by their maps: the generation, and whose packets are of tunnels. */
import type { FastPathMaps } from './fast-path-maps.ts';
import { CONFIG_KEY } from './own-program.ts';
import { CONFIG_LAYOUT, MAPS, MOST_PORTS, type Tunnel, tunnelKey } from './programs/layout.ts';

const PRESENT = Uint8Array.of(1);

export class SharedConfig {
  readonly #maps: Pick<FastPathMaps, 'config' | 'tunnels'>;

  constructor(maps: Pick<FastPathMaps, 'config' | 'tunnels'>) {
    this.#maps = maps;
  }

  /** @throws SysError */
  get generation(): bigint {
    return this.#read().generation;
  }

  /** @throws SysError */
  bump(): void {
    const config = this.#read();
    this.#write({ ...config, generation: config.generation + 1n });
  }

  /** @returns those that there is no room for. @throws SysError */
  setTunnels(tunnels: readonly Tunnel[]): readonly Tunnel[] {
    const ports = [...new Set(tunnels.map(({ port }) => port))].slice(0, MOST_PORTS);
    const fitting = tunnels.filter(({ port }) => ports.includes(port)).slice(0, MAPS.tunnels.entries);
    const wanted = new Map(fitting.map(tunnel => [tunnelKey(tunnel).join(), tunnelKey(tunnel)]));
    const map = this.#maps.tunnels;
    for (const [key] of Array.from(map.entries(MAPS.tunnels.entries))) {
      if (!wanted.delete(key.join())) map.delete(key);
    }
    for (const key of wanted.values()) map.set(key, PRESENT);
    this.#writePorts(ports);
    return tunnels.filter(tunnel => !fitting.includes(tunnel));
  }

  #writePorts(ports: readonly number[]): void {
    const bytes = new Uint8Array(2 * MOST_PORTS);
    const view = new DataView(bytes.buffer);
    for (const [at, port] of ports.entries()) view.setUint16(2 * at, port);
    this.#write({ ...this.#read(), ports: bytes });
  }

  #read(): ReturnType<typeof CONFIG_LAYOUT.decode> {
    return CONFIG_LAYOUT.decode(this.#maps.config.get(CONFIG_KEY) ?? new Uint8Array());
  }

  #write(config: ReturnType<typeof CONFIG_LAYOUT.decode>): void {
    this.#maps.config.set(CONFIG_KEY, CONFIG_LAYOUT.encode(config));
  }
}
