/**
 * Kernel parameters: those below /proc/sys, and one function for those of modules.
 *
 * Those under `net/` exist once per network namespace, and the namespace is that of the thread that opens the
 * file. So the whole access is synchronous, inside `Netns.run`.
 *
 * A parameter is named by its path, `net/ipv4/conf/eth0.5/rp_filter`, not with dots: names of links have dots.
 */
import { closeSync, openSync, readFileSync, watch, writeFileSync } from 'node:fs';
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

/**
 * Calls back after a write to a parameter, as far as the kernel announces it (inotify): it does not when the write
 * comes through another mount of /proc, as a container has one. A file made anew, because its link was deleted or
 * renamed, is another file. undefined when it cannot be watched. Keeps no process alive.
 */
function watchSysctl(path: string, onWrite: () => void, netns?: Netns): Disposable | undefined {
  const begin = () => {
    // While it is open the kernel does not forget its inode, and the watch with it, to win memory.
    const fd = openSync(fileOf(path), 'r');
    try {
      const watcher = watch(fileOf(path), { persistent: false }, onWrite);
      watcher.on('error', () => watcher.close());
      return { fd, watcher };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  };
  try {
    const { fd, watcher } = netns === undefined ? begin() : netns.run(begin);
    return {
      [Symbol.dispose]() {
        watcher.close();
        closeSync(fd);
      },
    };
  } catch {
    return undefined;
  }
}

/** The parameters of one namespace. */
export function sysctlsOf(netns: Netns) {
  return {
    read: (path: string) => readSysctl(path, netns),
    write: (path: string, value: string) => void writeSysctl(path, value, netns),
    watch: (path: string, onWrite: () => void) => watchSysctl(path, onWrite, netns),
  };
}

function fileOf(path: string): string {
  if (!/^[\w@:+. -]+(\/[\w@:+. -]+)+$/.test(path) || path.split('/').includes('..')) {
    throw new RangeError(`${JSON.stringify(path)} is no path of a kernel parameter`);
  }
  return `/proc/sys/${path}`;
}

/**
 * A parameter of a kernel module, below /sys/module, the same in every network namespace. Its value without the newline;
 * undefined while the module is not loaded, and where it has no such parameter.
 */
export function readModuleParameter(module: string, name: string): string | undefined {
  try {
    return readFileSync(`/sys/module/${module}/parameters/${name}`, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}
