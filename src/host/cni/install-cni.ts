/**
 * Tells container runtimes of Tulle: links to the plugin where they look for programs, and a list where they look for networks.
 * What is there and is not ours is left as it is.
 */
import { lstat, mkdir, readlink, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isCode } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import { CommandError } from '../../console/errors.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import {
  type ConflistOptions,
  conflistFile,
  conflistName,
  conflistText,
  type FoundConfig,
  findConfigs,
} from './conflist.ts';

export interface CniPlaces extends ConflistOptions {
  /** Where lists are: /etc/cni/net.d. */
  readonly directory: string;
  /** Where programs are: /opt/cni/bin, of podman on Debian /usr/lib/cni. */
  readonly binDirectories: readonly string[];
  /** Of netavark, whose drivers are programs too. */
  readonly netavarkDirectories: readonly string[];
  /** bin/tulle-cni. */
  readonly program: string;
}

/** A link that is to be: `path` -> `to`. */
interface PluginLink {
  readonly path: string;
  readonly to: string;
}

export interface CniPlan {
  readonly list: { readonly path: string; readonly text: string };
  readonly links: readonly PluginLink[];
  /** What a person should know of other lists, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * @param isForced lists of others may stop to be containerd's default
 * @throws CommandError NOT_NOW for what is in the way
 */
export async function planCni(places: CniPlaces, isForced: boolean): Promise<CniPlan> {
  const file = conflistFile(places.network);
  const found = await findConfigs(places.directory);
  const links = linksOf(places);
  for (const link of links) await refuseForeign(link);
  refuseForeignList(found, file, places.directory);
  const others = found.filter(({ isOurs }) => !isOurs);
  const [shadowed] = others.filter(other => other.file > file);
  const isFirst = !others.some(other => other.file < file);
  if (shadowed !== undefined && isFirst && !isForced) {
    throw new CommandError(
      'NOT_NOW',
      `${printable(join(places.directory, shadowed.file))} is the network that containerd takes now, and ${file} would be before it`,
      '--force installs it nevertheless: runtimes that select a network by its name use both',
    );
  }
  const list = { path: join(places.directory, file), text: conflistText(places) };
  return { list, links, notes: notesOf(places, others, file) };
}

/** Links first: a list whose program is missing makes runtimes fail. @throws SysError */
export async function installCni({ list, links }: CniPlan): Promise<void> {
  for (const { path, to } of links) {
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await symlink(to, path);
  }
  await writeFileAtomic(list.path, list.text);
}

/** Every list and link of ours. @returns their paths @throws SysError */
export async function uninstallCni(places: CniPlaces): Promise<readonly string[]> {
  const lists = (await findConfigs(places.directory)).filter(
    ({ file, isOurs }) => isOurs && /^1\d-tulle/.test(file),
  );
  const links: string[] = [];
  for (const link of linksOf(places)) if ((await stateOf(link)) === 'ours') links.push(link.path);
  const paths = [...lists.map(({ file }) => join(places.directory, file)), ...links];
  // Lists first, as above.
  for (const path of paths) await rm(path, { force: true });
  return paths;
}

function linksOf({ binDirectories, netavarkDirectories, program }: CniPlaces): readonly PluginLink[] {
  return [
    ...binDirectories.flatMap(directory => [join(directory, 'tulle'), join(directory, 'tulle-ipam')]),
    ...netavarkDirectories.map(directory => join(directory, 'tulle')),
  ].map(path => ({ path, to: program }));
}

async function stateOf({ path }: PluginLink): Promise<'none' | 'ours' | 'foreign'> {
  try {
    const isLink = (await lstat(path)).isSymbolicLink();
    // Of this or of another installation.
    return isLink && (await readlink(path)).endsWith('/bin/tulle-cni') ? 'ours' : 'foreign';
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return 'none';
    throw error;
  }
}

async function refuseForeign(link: PluginLink): Promise<void> {
  if ((await stateOf(link)) !== 'foreign') return;
  throw new CommandError(
    'NOT_NOW',
    `${link.path} is there, and is no link to Tulle's plugin`,
    'remove it first',
  );
}

function refuseForeignList(found: readonly FoundConfig[], file: string, directory: string): void {
  if (!found.some(one => one.file === file && !one.isOurs)) return;
  const path = join(directory, file);
  throw new CommandError(
    'NOT_NOW',
    `${path} is there, and its first plugin is not Tulle's`,
    'remove it first',
  );
}

function notesOf({ network }: CniPlaces, others: readonly FoundConfig[], file: string): string[] {
  const name = conflistName(network);
  const before = others.find(other => other.file < file);
  const same = others.find(other => other.name === name);
  return [
    ...(before ? [`${printable(before.file)} comes first: containerd's CRI takes that one, not Tulle`] : []),
    ...(same
      ? [`${printable(same.file)} has a network called ${name}, too: podman and nerdctl may take either`]
      : []),
  ];
}
