/** The table of routes on the side of the control socket: changes it as requested, and has the packet path use it. */
import type { Prefix } from '../base/prefix.ts';
import type { ControlRequest, ForwarderStats, ForwarderTable } from './control/messages.ts';
import { ForwarderError } from './errors.ts';
import { HOST_SLOT } from './path/counters.ts';
import type { DataPathThread } from './path/data-path-thread.ts';
import { type ForwarderRoute, MOST_ROUTES, RouteTable } from './path/route-table.ts';
import type { RouteTableData } from './path/routes.ts';

export class TableKeeper {
  readonly #thread: DataPathThread;
  readonly #table = new RouteTable();

  /** @param inherited table to begin with. */
  constructor(thread: DataPathThread, inherited: ForwarderTable | undefined) {
    this.#thread = thread;
    if (inherited === undefined) return;
    this.#table.setOwn(inherited.own);
    for (const route of inherited.routes) this.#set(route);
  }

  /** The table in the form of the packet path. */
  get data(): RouteTableData {
    return this.#table.data();
  }

  get size(): number {
    return this.#table.size;
  }

  /** The table as it travels to another forwarder. */
  get text(): { readonly own: readonly string[]; readonly routes: readonly object[] } {
    return {
      own: this.#table.own.map(String),
      routes: this.#table.entries.map(({ route: { subnet, remote, port, mtu } }) => ({
        subnet: subnet.toString(),
        remote: remote.toString(),
        port,
        ...(mtu === undefined ? {} : { mtu }),
      })),
    };
  }

  /** Resolves when the packet path has what was asked for. @throws ForwarderError */
  async answer(
    request: Exclude<ControlRequest, { readonly do: 'yield' | 'stop' }>,
  ): Promise<ForwarderStats | undefined> {
    switch (request.do) {
      case 'table':
        await this.#replace(request);
        return undefined;
      case 'set':
        this.#set(request.route);
        await this.#publish([]);
        return undefined;
      case 'delete':
        await this.#publish(this.#delete([request.subnet]));
        return undefined;
      case 'stats':
        return this.#stats();
      case 'check':
        await this.#thread.check();
        return undefined;
    }
  }

  /** Routes that stay keep their counters. */
  async #replace({ own, routes }: ForwarderTable): Promise<void> {
    const wanted = new Set(routes.map(({ subnet }) => subnet.key));
    const gone = this.#table.entries.map(({ route }) => route.subnet).filter(({ key }) => !wanted.has(key));
    const slots = this.#delete(gone);
    this.#table.setOwn(own);
    for (const route of routes) this.#set(route);
    await this.#publish(slots);
  }

  #set(route: ForwarderRoute): void {
    if (!this.#table.set(route))
      throw new ForwarderError('FORWARDER_REFUSED', `the table is full: it has ${MOST_ROUTES} routes`);
  }

  #delete(subnets: readonly Prefix[]): number[] {
    return subnets.map(subnet => this.#table.delete(subnet)).filter(slot => slot !== undefined);
  }

  /** @param unused slots of routes that the packet path may still count for until it has the new table. */
  async #publish(unused: readonly number[]): Promise<void> {
    await this.#thread.route(this.#table.data());
    for (const slot of unused) this.#thread.counters.clear(slot);
    this.#table.free(unused);
  }

  #stats(): ForwarderStats {
    const { counters } = this.#thread;
    return {
      host: counters.read(HOST_SLOT),
      routes: this.#table.entries.map(({ slot, route: { subnet, remote, port } }) => ({
        subnet: subnet.toString(),
        remote: remote.toString(),
        port,
        ...counters.read(slot),
      })),
    };
  }
}
