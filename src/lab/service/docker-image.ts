/** The image of the containers of a lab's dockerd: a tar, or Debian's static busybox. There is no registry to pull from. */
import { copyFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { LabError } from '../errors.ts';
import type { LabHost } from '../host/host.ts';

const IMAGE = 'busybox';
/** Bytes: an image has many files. */
const MOST_OF_A_LISTING = 256 * 1024 * 1024;

/** Gives a new dockerd the image of its containers, and returns its name. @throws ProcessError when the tar is none. */
export const provideImage = (
  host: LabHost,
  path: string | undefined,
  signal: AbortSignal,
): Promise<string> => (path === undefined ? importBusybox(host, signal) : importImage(host, path, signal));

/** A tar of `docker save` has a list of its images, one of `docker export` is a file system. Returns the image's name. */
async function importImage(host: LabHost, path: string, signal: AbortSignal): Promise<string> {
  const tar = '/run/image.tar';
  // The host need not see the directory.
  await copyFile(path, host.path(tar));
  const { stdout: files } = await host.run('tar', ['-tf', tar], { signal, maxOutput: MOST_OF_A_LISTING });
  const isSaved = /^(\.\/)?manifest\.json$/m.test(files);
  const name = basename(path)
    .replace(/\.tar$/, '')
    .toLowerCase();
  const { stdout } = await host.run('docker', isSaved ? ['load', '--input', tar] : ['import', tar, name], {
    signal,
    timeout: 300_000,
  });
  await host.run('rm', [tar]);
  if (!isSaved) return name;
  const [, loaded] = /^Loaded image(?: ID)?: (\S+)$/m.exec(stdout) ?? [];
  if (loaded !== undefined) return loaded;
  throw new LabError('START_FAILED', `docker load named no image of ${path}: ${stdout.trim()}`);
}

async function importBusybox(host: LabHost, signal: AbortSignal): Promise<string> {
  const root = '/run/busybox';
  await host.run('mkdir', ['-p', `${root}/bin`, `${root}/tmp`]);
  await host.run('cp', ['/bin/busybox', `${root}/bin/busybox`]);
  await host.run(`${root}/bin/busybox`, ['--install', `${root}/bin`]);
  await host.run('tar', ['-C', root, '-cf', `${root}.tar`, '.']);
  await host.run('docker', ['import', `${root}.tar`, IMAGE], { signal });
  await host.run('rm', ['-rf', root, `${root}.tar`]);
  return IMAGE;
}
