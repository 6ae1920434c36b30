/**
 * The type `tulle-ipam`: addresses of this host's leased subnet for plugins that make links themselves, such as `bridge` and
 * `macvlan`. On an L2 network only links of Tulle's can be: hosts know each other's containers there.
 */
import type { CniCall } from '../../api/cni.ts';
import { valuesOf } from '../../base/per-family.ts';
import { Undo } from '../../base/undo.ts';
import type { Attachments, ContainerNetwork } from '../../network/attachment/attachments.ts';
import { macOf, reserveAddresses } from '../reserve-addresses.ts';
import { type CniCommands, findNetwork } from './cni-commands.ts';
import type { CniConfig } from './cni-config.ts';
import { CniError } from './cni-error.ts';
import type { CniReservations } from './cni-reservations.ts';
import { cniResult } from './cni-result.ts';
import { attachmentIdOf, containerNameOf } from './container-id.ts';
import type { CniEnvironment } from './environment.ts';
import { missingAddresses } from './link-commands.ts';

export class AddressCommands implements CniCommands {
  readonly #attachments: Attachments;
  readonly #reservations: CniReservations;

  constructor(attachments: Attachments, reservations: CniReservations) {
    this.#attachments = attachments;
    this.#reservations = reservations;
  }

  async add(_call: CniCall, environment: CniEnvironment, config: CniConfig): Promise<object> {
    const { containerId, link, args } = environment;
    const id = attachmentIdOf(config.name, containerId, link);
    await this.remove(id);
    const network = this.#networkOf(config);
    const container = containerNameOf(args, containerId);
    const wish = { engine: 'cni-ipam', container, mac: config.mac ?? macOf(id), keep: config.keep } as const;
    await using undo = new Undo();
    const addresses = await reserveAddresses(this.#attachments, network, wish, config.ips, undo);
    await this.#reservations.set({ id, network: network.name, addresses });
    undo.commit();
    return cniResult(config.cniVersion, { network, addresses, dns: config.dns ?? {} });
  }

  async remove(id: string): Promise<void> {
    const reservation = this.#reservations.get(id);
    if (reservation === undefined) return;
    for (const ip of valuesOf(reservation.addresses))
      await this.#attachments.release(reservation.network, ip);
    await this.#reservations.delete(id);
  }

  async check({ containerId, link }: CniEnvironment, config: CniConfig): Promise<void> {
    if (config.prevResult === undefined) throw new CniError('INVALID_CONFIG', 'prevResult is missing');
    const reservation = this.#reservations.get(attachmentIdOf(config.name, containerId, link));
    if (reservation === undefined)
      throw new CniError('UNKNOWN_CONTAINER', `${containerId} has no address for its link ${link}`);
    const missing = missingAddresses(reservation.addresses, config.prevResult);
    if (missing.length > 0) throw new CniError('CHANGED', missing.join('; '));
  }

  ids(): readonly string[] {
    return this.#reservations.list().map(({ id }) => id);
  }

  async status(config: CniConfig): Promise<void> {
    this.#networkOf(config);
  }

  #networkOf({ network }: CniConfig): ContainerNetwork {
    const found = findNetwork(this.#attachments, network);
    if (found.kind === 'overlay') return found;
    throw new CniError('INVALID_CONFIG', `ipam.network: ${network} is an L2 network`, {
      hint: 'only the type tulle attaches containers to it',
    });
  }
}
