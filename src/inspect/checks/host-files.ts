/** Files of this host: the one that Docker reads its subnet from, and room for those that the agent keeps. */
import { readFileSync, statfsSync } from 'node:fs';
import type { Status } from '../../api/status.ts';
import { isCode } from '../../base/errors.ts';
import { valuesOf } from '../../base/per-family.ts';
import { STATE_DIRECTORY } from '../../console/defaults.ts';
import { parseSubnetEnv } from '../../subnet/subnet-env.ts';
import type { HostReader } from '../host/host-reader.ts';
import { prefixesIn } from '../host/overlay.ts';
import { type Cause, HERE } from './check.ts';

export async function checkHostFiles(host: HostReader): Promise<Cause[]> {
  const status = await host.status();
  const path = status?.subnetFile;
  return [
    ...(status === undefined || path === undefined ? [] : subnetFileCauses(path, textOf(path), status)),
    ...diskCauses(STATE_DIRECTORY, roomAt(STATE_DIRECTORY)),
  ];
}

/** undefined when there is no such file. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The file against the lease: what containers are given at the next start of Docker. */
export function subnetFileCauses(
  path: string,
  text: string | undefined,
  { lease, backend }: Status,
): Cause[] {
  const common = { code: 'SUBNET_FILE_DIFFERS', severity: 'warning' as const, layer: 'docker' as const };
  const remedy = 'restart the agent, which writes it, and then Docker';
  if (text === undefined) {
    const reason = `${path} is gone: Docker and CNI do not learn the subnet of ${HERE} when they start`;
    return [{ ...common, reason, evidence: [`cat ${path}: No such file or directory`], remedy }];
  }
  const { subnet, mtu } = parseSubnetEnv(text);
  const written = valuesOf(subnet);
  const leased = prefixesIn(Object.values(lease?.subnet ?? {}));
  const differs = leased.some(block => !written.some(each => each.equals(block)));
  const wrongMtu = backend !== undefined && mtu !== undefined && mtu > backend.overlayMtu;
  if (!differs && !wrongMtu) return [];
  const reason = differs
    ? `${path} has another subnet (${written.join(', ') || 'none'}) than the lease of ${HERE} (${leased.join(', ')})`
    : `${path} says that packets may have ${mtu} bytes, and the overlay carries ${backend?.overlayMtu}`;
  const evidence = text.split('\n').filter(line => /SUBNET|MTU/.test(line));
  return [{ ...common, reason, evidence: evidence.slice(0, 5), remedy }];
}

/** Bytes and files that still fit; undefined where there is no such directory. */
function roomAt(path: string): { readonly bytes: number; readonly files: number } | undefined {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(path);
    // A file system without a count of files has room for any number.
    return { bytes: bavail * bsize, files: files === 0 ? Infinity : ffree };
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The state of a large network is written in this, twice. */
const LEAST_BYTES = 1 << 20;
const LEAST_FILES = 16;

export function diskCauses(path: string, room: ReturnType<typeof roomAt>): Cause[] {
  if (room === undefined || (room.bytes >= LEAST_BYTES && room.files >= LEAST_FILES)) return [];
  return [
    {
      code: 'DISK_FULL',
      severity: 'warning',
      layer: 'agent',
      reason: `the disk of ${path} is full: after a restart the agent may have another subnet, and start only with the store`,
      evidence: [`df ${path}: ${Math.floor(room.bytes / 1024)} KiB and ${room.files} files left`],
      remedy: `make room on the file system of ${path}`,
    },
  ];
}
