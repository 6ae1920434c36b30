/** `tulle docker configure`: Docker's default bridge on the subnet of this host. */
import { Command } from 'commander';
import { ConfigError } from '../../base/errors.ts';
import { SUBNET_FILE } from '../../console/defaults.ts';
import { CommandError } from '../../console/errors.ts';
import { withExamples } from '../../console/help.ts';
import { jsonOption } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { requireRoot } from '../../console/require-root.ts';
import { formatTable } from '../../console/table.ts';
import { DOCKER_SOCKET, DockerApi } from '../../docker/docker-api.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { run } from '../../sys/process.ts';
import {
  backupOf,
  DAEMON_JSON,
  type DaemonFile,
  hasResolver,
  readDaemonFile,
  readLease,
  restoreFile,
  undoChanges,
  undoInFile,
  writeChanges,
} from './configure.ts';
import { type Dockerd, findDockerd, flagsIn, hasSystemd, type RunForDocker } from './dockerd.ts';
import { planDaemon, type SettingChange } from './plan.ts';
import { askDocker, consequences, requireServiceManager, restartDocker } from './restart.ts';

interface ConfigureOptions {
  readonly dryRun?: true;
  readonly restart?: true;
  readonly undo?: true;
  readonly subnetFile: string;
  readonly json?: true;
}

export function dockerCommand(): Command {
  return withExamples(
    new Command('docker').description('Docker on this host.').addCommand(configureCommand()),
    [
      {
        line: 'docker configure --dry-run',
        does: 'what its daemon.json would need for the subnet of this host',
      },
    ],
  );
}

function configureCommand(): Command {
  const command = new Command('configure')
    .description(
      "Put Docker's default bridge on the subnet of this host: merges its address, MTU and what goes with them into " +
        'daemon.json, and leaves all else in the file as it is. Networks of the plugin (`docker network create -d tulle`) do not need it.',
    )
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--restart', 'restart dockerd when something has changed')
    .option('--undo', 'give back what the file had before the first change')
    .option('--subnet-file <path>', 'where the agent writes the subnet of this host', SUBNET_FILE)
    .addOption(jsonOption())
    .action((options: ConfigureOptions) => configure(options));
  return withExamples(command, [
    { line: 'docker configure --dry-run', does: 'what would change, and what a restart of dockerd would do' },
    { line: 'docker configure --restart', does: 'change it, and restart dockerd' },
    { line: 'docker configure --undo --restart', does: 'back to what it was' },
  ]);
}

/** What a command line asks for, before it is done. */
interface Work {
  readonly file: DaemonFile;
  readonly changes: readonly SettingChange[];
  readonly givenByFlag: readonly string[];
}

async function configure(options: ConfigureOptions): Promise<void> {
  if (options.dryRun !== true) requireRoot('this writes the configuration of dockerd');
  const changing = options.dryRun !== true;
  const dockerd = await findDockerd(run);
  const work = options.undo === true ? await undoing(dockerd) : await configuring(dockerd, options);
  const docker =
    work.changes.length === 0
      ? undefined
      : await askDocker(new DockerApi(DOCKER_SOCKET), hasLiveRestore(dockerd, work.file));
  const effects = work.changes.length === 0 ? [] : consequences(docker);
  const restarts = changing && options.restart === true && work.changes.length > 0;
  if (restarts) requireServiceManager();
  if (changing) {
    if (options.undo === true) await undoInFile(work.file, work.changes);
    else if (work.changes.length > 0) await writeChanges(work.file, work.changes);
  }
  if (options.json !== true) show(work, effects, options);
  if (restarts) await restartDocker(patiently, () => restoreFile(work.file));
  if (options.json === true) {
    printJson({
      file: work.file.path,
      backup: backupOf(work.file),
      dockerd: { running: dockerd.running, version: dockerd.version },
      changes: work.changes,
      givenByFlag: work.givenByFlag,
      written: changing && work.changes.length > 0,
      restarted: restarts,
      restart: { liveRestore: docker?.liveRestore, containers: docker?.containers, again: docker?.restarted },
    });
  } else if (restarts) {
    note('dockerd is up again');
  }
}

/** dockerd waits for its containers, and systemd for dockerd (TimeoutStopSec, TimeoutStartSec). */
const patiently: RunForDocker = (program, args) => run(program, args, { timeout: 300_000 });

const hasLiveRestore = ({ words }: Dockerd, { config }: DaemonFile): boolean =>
  config.value('live-restore') === true || flagsIn(words).get('live-restore')?.at(-1) === 'true';

/** The file that dockerd reads; another one when its command line says so. */
const fileOf = ({ words }: Dockerd) => flagsIn(words).get('config-file')?.at(-1) ?? DAEMON_JSON;

/** @throws ConfigError with everything that dockerd would refuse */
async function configuring(dockerd: Dockerd, { subnetFile }: ConfigureOptions): Promise<Work> {
  const lease = await readLease(subnetFile);
  const file = await readDaemonFile(fileOf(dockerd));
  await using route = connectRoute();
  const resolver = hasResolver(await route.addresses.list());
  const { changes, problems, givenByFlag } = planDaemon(file.config, { lease, resolver, dockerd });
  if (problems.length > 0) throw new ConfigError('dockerd, which would not start', problems);
  return { file, changes, givenByFlag };
}

async function undoing(dockerd: Dockerd): Promise<Work> {
  const file = await readDaemonFile(fileOf(dockerd));
  const changes = await undoChanges(file);
  if (changes !== undefined) return { file, changes, givenByFlag: [] };
  throw new CommandError(
    'NOT_FOUND',
    `there is no ${backupOf(file)}: nothing was changed that could be undone`,
  );
}

function show(
  { file, changes, givenByFlag }: Work,
  effects: readonly string[],
  options: ConfigureOptions,
): void {
  if (changes.length === 0) {
    print(`${file.path} needs no change`);
    if (options.restart === true)
      note('dockerd was not restarted; `tulle check` says whether it runs with this file');
  } else {
    print(
      formatTable(
        [
          { title: 'key', cell: ({ key }: SettingChange) => key },
          { title: 'before', cell: ({ before }) => textOf(before) },
          { title: 'after', cell: ({ after }) => textOf(after) },
        ],
        changes,
      ),
    );
    if (options.dryRun === true) note(`${file.path} would be changed like this`);
    else if (options.undo === true) note(`wrote ${file.path} as it was before`);
    else note(`wrote ${file.path}; what it was before is in ${backupOf(file)}`);
  }
  if (givenByFlag.length > 0) {
    note(`on dockerd's command line already: ${givenByFlag.map(key => `--${key}`).join(', ')}`);
  }
  if (options.restart === true && options.dryRun !== true) return;
  for (const effect of effects) note(effect);
  if (effects.length > 0 && options.dryRun !== true && hasSystemd())
    note('restart it: systemctl restart docker');
}

const textOf = (value: unknown) => (value === undefined ? '' : JSON.stringify(value));
