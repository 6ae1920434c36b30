/**
 * The network namespaces that can be entered from here: those with a name, of `ip netns` and of Docker, and those of
 * processes. There may be others, which only a socket or a mount of another mount namespace keeps alive.
 */
import { readdirSync } from 'node:fs';
import { Netns } from './netns.ts';

const NAMED = ['/run/netns', '/run/docker/netns'];

/** Each once, the named ones first. The receiver disposes of them. */
export function* networkNamespaces(): Generator<Netns> {
  const seen = new Set<number>();
  for (const path of paths()) {
    const netns = openIfAny(path);
    if (netns === undefined) continue;
    if (seen.has(netns.inode)) netns[Symbol.dispose]();
    else {
      seen.add(netns.inode);
      yield netns;
    }
  }
}

function* paths(): Generator<string> {
  for (const directory of NAMED) for (const name of listing(directory)) yield `${directory}/${name}`;
  for (const name of listing('/proc')) if (/^\d+$/.test(name)) yield `/proc/${name}/ns/net`;
}

function listing(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** undefined when the process has ended, or is not ours to look at. */
function openIfAny(path: string): Netns | undefined {
  try {
    return Netns.open(path);
  } catch {
    return undefined;
  }
}
