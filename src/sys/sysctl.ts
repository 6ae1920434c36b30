/**
 * Kernel parameters below /proc/sys.
 *
 * Those under `net/` exist once per network namespace, and the namespace is that of the thread that opens the
 * file. So the whole access is synchronous, inside `Netns.run`.
 *
 * A parameter is named by its path, `net/ipv4/conf/eth0.5/rp_filter`, not with dots: names of links have dots.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { isCode } from '../base/errors.ts';
import type { Netns } from './netns.ts';

/** Its value without the newline; undefined when this kernel has no such parameter. */
export function readSysctl(path: string, netns?: Netns): string | undefined {
  const read = () => readFileSync(fileOf(path), 'utf8').trimEnd();
  try {
    return netns === undefined ? read() : netns.run(read);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Sets a parameter; false when it had that value already. @throws Error with code ENOENT when there is none. */
export function writeSysctl(path: string, value: string, netns?: Netns): boolean {
  if (readSysctl(path, netns) === value) return false;
  // The file is never made: without `r+` a mistyped name would be "permission denied" instead of "no such file".
  const write = () => writeFileSync(fileOf(path), value, { flag: 'r+' });
  if (netns === undefined) write();
  else netns.run(write);
  return true;
}

function fileOf(path: string): string {
  if (!/^[\w@:+. -]+(\/[\w@:+. -]+)+$/.test(path) || path.split('/').includes('..')) {
    throw new RangeError(`${JSON.stringify(path)} is no path of a kernel parameter`);
  }
  return `/proc/sys/${path}`;
}
