/**
 * Makes the directory that `docker plugin create` takes:
 *
 *     npm run build:docker-plugin [-- DIRECTORY]        default dist-docker-plugin
 *     docker plugin create tulle:latest dist-docker-plugin
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { managedPluginConfig } from './config.ts';
import { fillRootfs } from './rootfs.ts';

const directory = resolve(process.argv[2] ?? 'dist-docker-plugin');
rmSync(join(directory, 'rootfs'), { recursive: true, force: true });
mkdirSync(join(directory, 'rootfs'), { recursive: true });
writeFileSync(join(directory, 'config.json'), `${JSON.stringify(managedPluginConfig, null, 2)}\n`);
await fillRootfs(join(directory, 'rootfs'));
process.stderr.write(
  `wrote ${relative(process.cwd(), directory)}; docker plugin create tulle:latest ${relative(process.cwd(), directory)}\n`,
);
