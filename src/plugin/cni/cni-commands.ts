/** What a plugin of CNI does, one type of it. */
import type { CniCall } from '../../api/cni.ts';
import type { Attachments, ContainerNetwork } from '../../network/attachment/attachments.ts';
import type { CniConfig } from './cni-config.ts';
import { CniError } from './cni-error.ts';
import { attachmentIdOf, idPrefixOf } from './container-id.ts';
import type { CniEnvironment } from './environment.ts';

export interface CniCommands {
  /** @returns the result. @throws CniError, AttachmentError; nothing remains of it then */
  add(call: CniCall, environment: CniEnvironment, config: CniConfig): Promise<object>;
  /** Whatever is there of it. */
  remove(id: string): Promise<void>;
  /** @throws CniError for what differs */
  check(environment: CniEnvironment, config: CniConfig): Promise<void>;
  /** Ids of everything that was added and not removed. */
  ids(): readonly string[];
  /** Whether a container could be added now. @throws CniError, AttachmentError why not */
  status(config: CniConfig): Promise<void>;
}

/** Ids of a configuration that the runtime does not list any more. @throws CniError when it lists nothing, not even none */
export function staleIds({ name, valid }: CniConfig, ids: readonly string[]): readonly string[] {
  if (valid === undefined) throw new CniError('INVALID_CONFIG', 'cni.dev/valid-attachments is missing');
  const kept = new Set(valid.map(({ containerId, link }) => attachmentIdOf(name, containerId, link)));
  return ids.filter(id => id.startsWith(idPrefixOf(name)) && !kept.has(id));
}

/** @throws CniError */
export function findNetwork(attachments: Pick<Attachments, 'find'>, name: string): ContainerNetwork {
  const found = attachments.find(name);
  if (found !== undefined) return found;
  throw new CniError('TRY_AGAIN', `this host has no network ${JSON.stringify(name)} yet`, {
    hint: '`tulle status` says why there is no lease; `tulle network create` makes an L2 network',
  });
}
