/** The files of a managed plugin: Tulle as it is published, Node.js, and the programs it starts, with their libraries. */
import { cpSync, existsSync, lstatSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { run } from '../../src/sys/process.ts';

const ROOT = join(import.meta.dirname, '../..');

/** What the agent runs, and what bin/tulle is written in. By name here, whatever they are links to on this machine. */
const PROGRAMS = [
  '/bin/sh',
  '/usr/bin/readlink',
  '/usr/bin/mount',
  '/usr/sbin/nft',
  ...['', '6'].flatMap(six => ['', '-save', '-restore'].map(part => `/usr/sbin/ip${six}tables${part}`)),
];

/** Fills the directory. @throws Error when the machine has not what goes in */
export async function fillRootfs(directory: string): Promise<void> {
  const missing = [...PROGRAMS, join(ROOT, 'dist/main.js')].filter(path => !existsSync(path));
  if (missing.length > 0) throw new Error(`there is no ${missing.join(', ')}`);
  const home = join(directory, 'opt/tulle');
  const modules = await productionModules();
  for (const path of ['bin/tulle', 'dist', 'package.json', 'LICENSE', ...modules]) {
    cpSync(join(ROOT, path), join(home, path), { recursive: true, dereference: true });
  }
  // The package of Node.js has it twice, with headers and documentation.
  const node = join(home, 'node_modules/node/bin/node');
  mkdirSync(dirname(node), { recursive: true });
  cpSync(realpathSync(process.execPath), node);
  for (const program of PROGRAMS) copyTo(directory, program);
  const executables = [...PROGRAMS, process.execPath, ...nativeAddons()];
  for (const library of await librariesOf(executables)) copyTo(directory, library);
  const extensions = await extensionsOfIptables();
  if (extensions !== undefined) cpSync(extensions, join(directory, extensions), { recursive: true });
  // dockerd mounts files of the host over these, and its own directories.
  for (const each of ['etc', 'run/docker/plugins', 'host/run', 'host/var/lib', 'tmp', 'proc', 'sys', 'dev']) {
    mkdirSync(join(directory, each), { recursive: true });
  }
  for (const file of ['etc/hosts', 'etc/resolv.conf', 'run/docker.sock'])
    writeFileSync(join(directory, file), '');
  writeFileSync(join(directory, 'etc/nsswitch.conf'), 'hosts: files dns\n');
}

/** The program itself, where a link leads to, by the name of the link. */
function copyTo(directory: string, path: string): void {
  const to = join(directory, path);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(path), to, { dereference: true });
}

/** Directories below the project, without those that only its developers need. */
async function productionModules(): Promise<string[]> {
  const { stdout } = await run('npm', ['ls', '--omit=dev', '--all', '--parseable'], {
    cwd: ROOT,
    anyStatus: true,
  });
  return stdout
    .split('\n')
    .map(path => relative(ROOT, path))
    .filter(path => path.startsWith('node_modules/') && path !== 'node_modules/node')
    .filter(path => !path.startsWith('node_modules/node/') && existsSync(join(ROOT, path)));
}

/** koffi's, for this machine. */
function nativeAddons(): string[] {
  const vendor = join(ROOT, `node_modules/@koromix/koffi-linux-${process.arch}`);
  return existsSync(vendor) ? [join(vendor, 'koffi.node')].filter(existsSync) : [];
}

/** `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, and the loader, which has no arrow. */
async function librariesOf(executables: readonly string[]): Promise<ReadonlySet<string>> {
  const { stdout } = await run('ldd', executables, { anyStatus: true });
  return new Set([...stdout.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)].map(([, path = '']) => path));
}

/** The matches and targets of iptables, which it loads by name. */
async function extensionsOfIptables(): Promise<string | undefined> {
  const libraries = await librariesOf(['/usr/sbin/iptables']);
  return [...libraries]
    .filter(path => basename(path).startsWith('libxtables'))
    .map(path => join(dirname(path), 'xtables'))
    .map(path => path.replace(/^\/lib\//, '/usr/lib/'))
    .find(path => existsSync(path) && lstatSync(path).isDirectory());
}
