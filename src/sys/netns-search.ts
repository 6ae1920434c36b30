/**
 * The network namespaces that can be entered from here: those with a name, of `ip netns` and of Docker, and those of
 * processes. There may be others, which only a socket or a mount of another mount namespace keeps alive.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { Netns } from './netns.ts';

const NAMED = ['/run/netns', '/run/docker/netns'];

/**
 * Each once, the named ones first. The receiver disposes of them.
 *
 * @param named directories of files that namespaces are mounted on
 */
export function* networkNamespaces(named: readonly string[] = NAMED): Generator<Netns> {
  using here = Netns.current();
  // All namespaces are in one file system of the kernel, nsfs.
  const { dev } = fstatSync(here.fd);
  const seen = new Set<number>();
  for (const path of paths(named)) {
    const netns = openIfAny(path, dev);
    if (netns === undefined) continue;
    if (seen.has(netns.inode)) netns[Symbol.dispose]();
    else {
      seen.add(netns.inode);
      yield netns;
    }
  }
}

function* paths(named: readonly string[]): Generator<string> {
  for (const directory of named) for (const name of listing(directory)) yield `${directory}/${name}`;
  for (const name of listing('/proc')) if (/^\d+$/.test(name)) yield `/proc/${name}/ns/net`;
}

function listing(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * undefined when the process has ended, or is not ours to look at, and for a file that nothing is mounted on: Docker
 * removes that of a container only up to a minute after the container.
 */
function openIfAny(path: string, dev: number): Netns | undefined {
  let netns: Netns;
  try {
    netns = Netns.open(path);
  } catch {
    return undefined;
  }
  if (fstatSync(netns.fd).dev === dev) return netns;
  netns[Symbol.dispose]();
  return undefined;
}
