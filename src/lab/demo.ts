/** What `npm start` shows: three hosts, who reaches whom, and how one packet gets across. */
import { join } from 'node:path';
import { aborted } from '../base/abort.ts';
import { type PerFamily, valuesOf } from '../base/per-family.ts';
import { formatCount, formatDuration } from '../console/format.ts';
import { outputWritten, paint, print } from '../console/output.ts';
import { LabError } from './errors.ts';
import { LabHost, PROJECT } from './host/host.ts';
import { createLab } from './lab.ts';
import type { HostRecord } from './record/record.ts';
import { requireRootForLab } from './requirements.ts';
import { nameFlag } from './topology/lab-name.ts';
import { LAB_FAMILIES, type LabRequest, OVERLAY, planLab, UNDERLAY } from './topology/simple.ts';
import { formatMatrix } from './traffic/matrix.ts';
import { pingAll } from './traffic/ping.ts';

const HOSTS = 3;
const CONTAINERS = 2;

export type DemoOptions = Required<Pick<LabRequest, 'name' | 'family'>>;

/**
 * Makes a lab, shows it and, on a terminal, keeps it until `signal` aborts. It is gone when the promise settles.
 *
 * @throws LabError, also when a packet was lost; `signal.reason` while the lab is still being made.
 */
export async function runDemo({ name, family }: DemoOptions, signal: AbortSignal): Promise<void> {
  const plan = planLab({
    name,
    family,
    hosts: HOSTS,
    containers: CONTAINERS,
    runtime: 'namespace',
    store: 'tulle',
  });
  requireRootForLab();
  title(`Making ${HOSTS} hosts with ${CONTAINERS} containers each on this machine`);
  const started = performance.now();
  const onStep = (step: string) =>
    print(`  ${paint('green', '✓')} ${step} (${formatDuration(performance.now() - started)})`);
  await using lab = await createLab(plan, { signal, onStep });
  await lab.publish();
  const { hosts } = lab.record;

  title('Every container reaches every other by its own address (round trip)');
  const report = await pingAll(lab.record, { count: 3, signal });
  print(formatMatrix(report));
  print(`\n${formatCount(report.pairs, 'pair')}, ${report.sent} packets sent, ${report.lost} lost`);
  if (report.lost > 0) {
    throw new LabError('START_FAILED', `${report.lost} of ${report.sent} packets were lost`, {
      hint: 'keep a lab with `tulle lab up` and look at `tulle lab exec docker1 -- tulle status`',
    });
  }

  const [near, far] = hosts;
  const [source, target] = [near?.containers[0], far?.containers[0]];
  if (near !== undefined && far !== undefined && source !== undefined && target !== undefined) {
    for (const [index, each] of LAB_FAMILIES[family].entries()) {
      title(`One packet from ${near.name}/${source.name} to ${far.name}/${target.name} (${target.ip[each]})`);
      // Names stand for the first family.
      const names = [source.name, `${far.name}/${target.name}`];
      await followPacket(near, index === 0 ? names : [source.ip[each], target.ip[each]]);
    }
  }

  const suffix = nameFlag(name);
  const show = (record: PerFamily<unknown>) => LAB_FAMILIES[family].map(each => record[each]).join(' and ');
  const [firstIp = ''] = valuesOf(target?.ip ?? {});
  const device = family === 'ipv6' ? 'flannel-v6.88' : 'flannel.88';
  title('Explore it');
  print(
    [
      `Underlay ${show(UNDERLAY)}, overlay ${show(OVERLAY)}.`,
      'From another terminal, as root:',
      '',
      // Every hint of every command says `tulle`, which a fresh clone has not on the PATH.
      `  export PATH="${join(PROJECT, 'bin')}:$PATH"`,
      `  tulle lab exec${suffix} docker1 -- tulle status`,
      `  tulle lab exec${suffix} docker1 -- tulle trace c1 docker2/c1`,
      `  tulle lab exec${suffix} docker1/c1 -- ping ${firstIp}`,
      `  tulle lab exec${suffix} docker2 -- bridge fdb show dev ${device}`,
      `  tulle lab exec${suffix} docker1 -- tulle lease list`,
      '',
      'Break something, and see how it is repaired:',
      '',
      `  tulle lab exec${suffix} docker1 -- ip link delete ${device}`,
      `  tulle lab exec${suffix} docker1 -- tulle events`,
      `  tulle lab exec${suffix} docker1 -- tulle status --peer ${firstIp}`,
    ].join('\n'),
  );
  if (process.stdout.isTTY) await untilInterrupted(signal);
  else print('\nOutput is not a terminal, so the lab ends here. Keep one with: tulle lab up');
}

/** What a person would type on that host. @throws LabError when the packet is lost */
async function followPacket(
  { name, anchor }: HostRecord,
  ends: readonly (string | undefined)[],
): Promise<void> {
  const words = ends.filter(end => end !== undefined);
  print(`${paint('bold', `${name}#`)} tulle trace ${words.join(' ')}`);
  await outputWritten();
  const { status } = await new LabHost(name, anchor).attach('tulle', ['trace', ...words]);
  if (status !== 0) throw new LabError('START_FAILED', `the packet does not get from ${words.join(' to ')}`);
}

async function untilInterrupted(signal: AbortSignal): Promise<void> {
  print(`\n${paint('bold', 'Ctrl-C ends it')} and removes everything.`);
  // A timer keeps the process alive; the lab's own processes do not.
  const alive = setInterval(() => undefined, 2 ** 30);
  await aborted(signal);
  clearInterval(alive);
  print('\nEnding the lab.');
}

function title(text: string): void {
  print(`\n${paint('bold', text)}\n`);
}
