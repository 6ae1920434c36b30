/**
 * Network namespaces.
 *
 * A namespace belongs to a thread, not to a process. Node runs JavaScript on one thread, so going there and back
 * is safe as long as nothing else runs in between: `run` takes a synchronous function only. Sockets and children
 * keep the namespace they were made in, which is all that is needed from inside.
 *
 * Named namespaces are those of `ip netns`: a file below /run/netns that the namespace is bind-mounted on, which
 * keeps it alive without a process.
 */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isCode } from '../base/errors.ts';
import { mount, setns, umount, unshare } from './libc.ts';

const DIRECTORY = '/run/netns';

/** include/uapi/linux/sched.h. */
const CLONE_NEWNET = 0x40000000;

/** include/uapi/linux/mount.h. */
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x100000;
const MNT_DETACH = 2;

// Not /proc/self, which is the main thread's: a worker has a namespace of its own.
const OWN = '/proc/thread-self/ns/net';

/** The namespace of this thread, as `Netns.inode` has it; only this module changes it. Undefined until it is asked for. */
let here: number | undefined;

export class Netns implements Disposable {
  #fd: number;
  /** Identifies the namespace among all of this machine, as in `net:[4026531833]`. */
  readonly inode: number;
  /** Where it was opened; another namespace may be there by now, or none. */
  readonly path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
    this.inode = fstatSync(fd).ino;
  }

  /** An open descriptor of the namespace; -1 after disposal. */
  get fd(): number {
    return this.#fd;
  }

  /** The calling thread's namespace. */
  static current(): Netns {
    return Netns.open(OWN);
  }

  /** @param path `/run/netns/x` or `/proc/PID/ns/net`. @throws Error with code ENOENT when there is none. */
  static open(path: string): Netns {
    return new Netns(openSync(path, 'r'), path);
  }

  /** Opens a named namespace. */
  static named(name: string): Netns {
    return Netns.open(pathOf(name));
  }

  /** Another handle of the same namespace, with a life of its own. */
  clone(): Netns {
    return new Netns(openSync(`/proc/thread-self/fd/${this.fd}`, 'r'), this.path);
  }

  /** Makes a new namespace without a name; it lives as long as something refers to it. */
  static anonymous(): Netns {
    using home = Netns.current();
    unshare(CLONE_NEWNET);
    try {
      return Netns.current();
    } finally {
      setns(home.fd, CLONE_NEWNET);
    }
  }

  /** Makes a new named namespace, as `ip netns add` does. @throws Error with code EEXIST when the name is taken. */
  static create(name: string): Netns {
    prepareDirectory();
    const path = pathOf(name);
    closeSync(openSync(path, 'wx', 0o444));
    try {
      const netns = Netns.anonymous();
      try {
        netns.run(() => mount(OWN, path, 'none', MS_BIND));
        return netns;
      } catch (error) {
        netns[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      unlinkSync(path);
      throw error;
    }
  }

  /** Takes the name away, as `ip netns delete` does; false when there is none. */
  static delete(name: string): boolean {
    const path = pathOf(name);
    if (!existsSync(path)) return false;
    try {
      umount(path, MNT_DETACH);
    } catch (error) {
      // A plain file, left by an interrupted creation, is no mount point.
      if (!isCode(error, 'EINVAL')) throw error;
    }
    unlinkSync(path);
    return true;
  }

  /** Names of all named namespaces, sorted. */
  static list(): string[] {
    return existsSync(DIRECTORY) ? readdirSync(DIRECTORY).sort() : [];
  }

  /**
   * Runs `fn` inside the namespace and comes back, whatever happens. `fn` must not be async: what it awaits would
   * run outside, and the rest of the program inside.
   */
  run<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
    if (here === this.inode) return fn();
    using home = Netns.current();
    here = home.inode;
    if (here === this.inode) return fn();
    setns(this.fd, CLONE_NEWNET);
    here = this.inode;
    try {
      return fn();
    } finally {
      setns(home.fd, CLONE_NEWNET);
      here = home.inode;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    // The number may soon belong to another file.
    this.#fd = -1;
  }
}

function pathOf(name: string): string {
  if (!/^[\w.@:-]{1,200}$/.test(name) || name === '.' || name === '..') {
    throw new RangeError(`${JSON.stringify(name)} is no name for a namespace`);
  }
  return join(DIRECTORY, name);
}

/** A shared mount point, so that namespaces made here are seen in other mount namespaces, and can be removed there. */
function prepareDirectory(): void {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  try {
    mount('', DIRECTORY, 'none', MS_SHARED | MS_REC);
  } catch (error) {
    // EINVAL: not a mount point yet.
    if (!isCode(error, 'EINVAL')) throw error;
    mount(DIRECTORY, DIRECTORY, 'none', MS_BIND | MS_REC);
    mount('', DIRECTORY, 'none', MS_SHARED | MS_REC);
  }
}
