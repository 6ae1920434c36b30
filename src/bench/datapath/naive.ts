/** Puts udp-naive.ts beside the agents of a lab: on its way are the containers alone, which have routes of their own. */
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../lab/host/daemon.ts';
import type { LabHost } from '../../lab/host/host.ts';
import type { HostRecord } from '../../lab/record/record.ts';
import { pinned } from './processors.ts';

const SCRIPT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './udp-naive.ts' : './udp-naive.js', import.meta.url),
);

const DEVICE = 'naive0';
const PORT = 8286;
/** Of the underlay of a lab, less the headers of IPv4 and UDP. */
const MTU = 1472;
const PATIENCE_MS = 30_000;

export interface RecordedHost {
  readonly record: HostRecord;
  readonly host: LabHost;
}

/** Sends what `from` has for the containers of `to` through a process on `from`, on this processor. */
export async function startNaive(
  from: RecordedHost,
  to: RecordedHost,
  processor: number,
  signal: AbortSignal,
): Promise<void> {
  const containers = to.record.containers.map(({ ip }) => `${ip.ipv4 ?? ''}/32`);
  const own = [SCRIPT, DEVICE, underlayOf(from), `${PORT}`, underlayOf(to), ...containers];
  const [program, args] = pinned(processor, [process.execPath, ...own]);
  await startDaemon(from.host, {
    name: 'udp-naive',
    program,
    args,
    accept: text => text.includes('ready'),
    patience: PATIENCE_MS,
    signal,
  });
  const ip = (...args: readonly string[]) => from.host.run('ip', args, { signal });
  await ip('link', 'set', DEVICE, 'mtu', `${MTU}`, 'up');
  for (const container of containers) await ip('route', 'add', container, 'dev', DEVICE);
}

const underlayOf = ({ record }: RecordedHost): string => record.address.ipv4 ?? '';
