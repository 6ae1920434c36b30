/**
 * The plugins of CNI: reads how one was called, has its type do it, and answers in the version that was asked for.
 *
 *     ADD     find the network ─> reserve addresses ─> attach ─> describe
 *     DEL     detach ─> release; whatever is left of it, as often as it is asked for
 *     CHECK   what the kernel has against what was made, and against what the runtime remembers
 *     GC      DEL of what the runtime does not list
 *     STATUS  whether ADD would find the network
 */
import type { CniCall, PluginAnswer } from '../../api/cni.ts';
import { isCode, messageOf, TulleError } from '../../base/errors.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import type { Logger } from '../../base/log.ts';
import { CNI_DEFAULT_VERSION } from '../launcher/launcher.ts';
import { AddressCommands } from './address-commands.ts';
import { type CniCommands, staleIds } from './cni-commands.ts';
import {
  type CniConfig,
  type CniVersion,
  parseCniJson,
  readCniConfig,
  readCniVersion,
} from './cni-config.ts';
import { CniError, cniErrorObject } from './cni-error.ts';
import type { CniReservations } from './cni-reservations.ts';
import { attachmentIdOf } from './container-id.ts';
import { type CniCommand, type CniEnvironment, readEnvironment } from './environment.ts';
import { LinkCommands, type LinkCommandsOptions } from './link-commands.ts';
import { assertSameHost } from './sandbox-link.ts';

export interface CniPluginOptions extends LinkCommandsOptions {
  readonly reservations: CniReservations;
  readonly logger: Logger;
  /** Replaced in tests. */
  readonly assertSameHost?: (own: string) => void;
}

/** The versions that have a command, where not all do. */
const VERSIONS_OF: Readonly<Partial<Record<CniCommand, readonly CniVersion[]>>> = {
  CHECK: ['0.4.0', '1.0.0', '1.1.0'],
  GC: ['1.1.0'],
  STATUS: ['1.1.0'],
};

export class CniPlugin {
  readonly #options: CniPluginOptions;
  readonly #links: CniCommands;
  readonly #addresses: CniCommands;
  /** By container: a runtime that gave up on an ADD sends a DEL while it is still made. */
  readonly #lock = new KeyedLock();

  constructor(options: CniPluginOptions) {
    this.#options = options;
    this.#links = new LinkCommands(options);
    this.#addresses = new AddressCommands(options.attachments, options.reservations);
  }

  /** Never rejects: what is wrong is in the answer. */
  async handle(call: CniCall): Promise<PluginAnswer> {
    let version: CniVersion = CNI_DEFAULT_VERSION;
    try {
      version = readCniVersion(parseCniJson(call.config));
      const environment = readEnvironment(call.env);
      const { command, containerId } = environment;
      const versions = VERSIONS_OF[command];
      if (versions?.includes(version) === false) {
        const message = `${command} came with version ${versions[0]}; the configuration is of ${version}`;
        throw new CniError('INCOMPATIBLE_VERSION', message);
      }
      (this.#options.assertSameHost ?? assertSameHost)(call.own);
      const result = await this.#lock.run(containerId, () => this.#run(call, environment));
      return { status: 0, stdout: result === undefined ? '' : `${JSON.stringify(result)}\n` };
    } catch (error) {
      const { CNI_COMMAND, CNI_CONTAINERID } = call.env;
      const fields = { command: CNI_COMMAND, container: CNI_CONTAINERID, reason: messageOf(error) };
      this.#options.logger.warn(fields, 'a call of CNI was refused');
      return { status: 1, stdout: `${JSON.stringify(cniErrorObject(error, version))}\n` };
    }
  }

  async #run(call: CniCall, environment: CniEnvironment): Promise<object | undefined> {
    const { command, containerId, link, args } = environment;
    const isDelegate = call.type === 'tulle-ipam';
    const commands = isDelegate ? this.#addresses : this.#links;
    if (command === 'DEL') {
      // What it was made with may be refused by now, and must go all the same.
      await commands.remove(attachmentIdOf(nameIn(call), containerId, link));
      return undefined;
    }
    const config = readCniConfig(call.config, isDelegate, args);
    if (command === 'ADD') return await commands.add(call, environment, config);
    if (command === 'CHECK') await commands.check(environment, config);
    if (command === 'GC') await collect(commands, config);
    if (command === 'STATUS') await commands.status(config).catch(unavailable);
    return undefined;
  }
}

/** The code that STATUS has for what ADD may try again. */
function unavailable(error: unknown): never {
  if (!isCode(error, 'TRY_AGAIN', 'NOT_READY', 'NOT_FOUND')) throw error;
  const { hint } = error instanceof TulleError ? error : { hint: undefined };
  throw new CniError('NOT_AVAILABLE', messageOf(error), hint === undefined ? {} : { hint });
}

/** Goes on when something fails. @throws CniError with every failure */
async function collect(commands: CniCommands, config: CniConfig): Promise<void> {
  const failures: string[] = [];
  for (const id of staleIds(config, commands.ids())) {
    await commands.remove(id).catch((error: unknown) => failures.push(messageOf(error)));
  }
  if (failures.length > 0) throw new CniError('FAILED', failures.join('; '));
}

/** @throws CniError INVALID_CONFIG */
function nameIn({ config }: CniCall): string {
  const { name } = parseCniJson(config);
  if (typeof name === 'string') return name;
  throw new CniError('INVALID_CONFIG', 'network configuration: name: is missing');
}
