/** What the launcher of CNI and netavark asks for; loaded with the first call, for most hosts run no such runtime. */
import { join } from 'node:path';
import type { CniCall, NetavarkCall, PluginAnswer } from '../../api/cni.ts';
import { messageOf } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { valuesOf } from '../../base/per-family.ts';
import { RESOLVER_ADDRESS } from '../../console/defaults.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { Attachments } from '../../network/attachment/attachments.ts';
import type { HostAttachments } from '../../network/attachment/host-attachments.ts';
import type { CniPlugin } from '../../plugin/cni/cni-plugin.ts';
import { CniReservations } from '../../plugin/cni/cni-reservations.ts';
import type { NetavarkPlugin } from '../../plugin/netavark/netavark-plugin.ts';
import type { AgentOptions } from '../options/options.ts';
import type { PluginHandlers } from './plugin-requests.ts';

export interface ContainerPluginsOptions {
  readonly options: Pick<AgentOptions, 'stateDirectory' | 'resolver'>;
  readonly attachments: Attachments & Pick<HostAttachments, 'opened'>;
  readonly rtnetlink: { readonly links: Pick<Rtnetlink['links'], 'list'> };
  readonly logger: Logger;
}

export class ContainerPlugins implements PluginHandlers {
  readonly #options: ContainerPluginsOptions;
  /** As containers reach it: where it is not turned off, it runs as soon as there is a network. */
  readonly #resolver: Ip | undefined;
  readonly #reservations: CniReservations;
  readonly #reconciled = Promise.withResolvers<void>();
  #cni: CniPlugin | undefined;
  #netavark: NetavarkPlugin | undefined;

  /** @throws Error of the file system */
  constructor(options: ContainerPluginsOptions) {
    this.#options = options;
    const { mode } = options.options.resolver;
    this.#resolver = mode === 'off' ? undefined : Ip.parse(RESOLVER_ADDRESS);
    const directory = join(options.options.stateDirectory, 'cni');
    this.#reservations = CniReservations.open(directory, path =>
      options.logger.warn({ path }, 'an address that was given out cannot be read, and is free'),
    );
  }

  get #parts() {
    const { attachments, logger } = this.#options;
    return { attachments, logger, resolver: this.#resolver };
  }

  async cni(call: CniCall): Promise<PluginAnswer> {
    await this.#reconciled.promise;
    const { CniPlugin } = await import('../../plugin/cni/cni-plugin.ts');
    this.#cni ??= new CniPlugin({ ...this.#parts, reservations: this.#reservations });
    return await this.#cni.handle(call);
  }

  async netavark(call: NetavarkCall): Promise<PluginAnswer> {
    await this.#reconciled.promise;
    const { NetavarkPlugin } = await import('../../plugin/netavark/netavark-plugin.ts');
    this.#netavark ??= new NetavarkPlugin(this.#parts);
    return await this.#netavark.handle(call);
  }

  /**
   * No runtime tells again what it has. What is gone is known by its link, which goes with the namespace of its container;
   * what was begun when the last agent was killed, by nobody having it. Once, and before any call is answered.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#reconcile(signal);
    } catch (error) {
      if (signal.aborted) return;
      const reason = messageOf(error);
      this.#options.logger.warn({ reason }, 'what is left of containers of CNI and netavark stays for now');
    } finally {
      this.#reconciled.resolve();
    }
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { attachments, rtnetlink } = this.#options;
    const since = performance.now();
    await attachments.opened(signal);
    const links = new Set((await rtnetlink.links.list()).map(({ name }) => name));
    for (const engine of ['cni', 'cni-ipam', 'netavark'] as const) {
      const present = attachments.list().filter(one => one.engine === engine && links.has(one.hostLink));
      const given = engine === 'cni-ipam' ? this.#reservations.list() : [];
      const ips = [...present, ...given].flatMap(({ network, addresses }) =>
        valuesOf(addresses).map(ip => ({ network, ip })),
      );
      await attachments.reconcile(engine, { ids: new Set(present.map(({ id }) => id)), ips }, since);
    }
  }
}
