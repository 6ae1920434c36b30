/** Network configuration lists of CNI in a directory: ours, and those of others. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { isCode } from '../../base/errors.ts';
import { OVERLAY_NETWORK } from '../../network/attachment/attachments.ts';

/** A file that runtimes read: containerd takes the first one by name, others one by the name in it. */
export interface FoundConfig {
  /** Of the file. */
  readonly file: string;
  /** Whether its first plugin is of type `tulle`. */
  readonly isOurs: boolean;
  /** Of the network; absent when the file cannot be read as one. */
  readonly name?: string;
}

export interface ConflistOptions {
  /** Name of the network of Tulle. */
  readonly network: string;
  readonly socket: string;
}

/** The default network's sorts before others. */
export const conflistFile = (network: string): string =>
  network === OVERLAY_NETWORK ? '10-tulle.conflist' : `11-tulle-${network}.conflist`;

/** What `podman run --network` and `nerdctl run --net` call it: `default` means something to them. */
export const conflistName = (network: string): string => (network === OVERLAY_NETWORK ? 'tulle' : network);

/** Of version 1.0.0, which every runtime since 2021 reads; one that knows 1.1.0 finds it in `cniVersions`. */
export function conflistText({ network, socket }: ConflistOptions): string {
  const plugin = {
    type: 'tulle',
    network,
    ...(socket !== DEFAULT_SOCKET && { socket }),
    capabilities: { portMappings: true, ips: true, mac: true, aliases: true, dns: true },
  };
  const list = {
    cniVersion: '1.0.0',
    cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    name: conflistName(network),
    plugins: [plugin],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

/** In the order in which containerd reads them. A directory that is not there has none. @throws SysError */
export async function findConfigs(directory: string): Promise<readonly FoundConfig[]> {
  const files = await readdir(directory).catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  });
  const wanted = files.filter(file => /\.(conf|conflist|json)$/.test(file)).sort();
  return await Promise.all(
    wanted.map(async file =>
      describeConflist(file, await readFile(join(directory, file), 'utf8').catch(() => '')),
    ),
  );
}

/** @param text of the file, whatever it is */
export function describeConflist(file: string, text: string): FoundConfig {
  try {
    const { name, type, plugins } = JSON.parse(text) as {
      readonly name?: unknown;
      readonly type?: unknown;
      readonly plugins?: readonly { readonly type?: unknown }[];
    };
    const first = Array.isArray(plugins) ? plugins[0]?.type : type;
    return { file, isOurs: first === 'tulle', ...(typeof name === 'string' && { name }) };
  } catch {
    return { file, isOurs: false };
  }
}
