/** `tulle store cert`: until when certificates are good, and their renewal by hand. */
import { Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { STATE_DIRECTORY, STORE_DIRECTORY } from '../console/defaults.ts';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { jsonOption, value } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import { type Column, formatTable } from '../console/table.ts';
import type { CertificateFacts } from './certificates.ts';

const text = value(given => given);

interface Options {
  readonly dataDir: string;
  readonly stateDir: string;
  readonly json?: true;
}

const COLUMNS: readonly Column<CertificateFacts>[] = [
  { title: 'certificate of', cell: ({ of, hostId, name }) => [of, name ?? hostId ?? ''].join(' ').trim() },
  { title: 'expires', cell: ({ expiresAt }) => expiresAt },
  { title: 'file', cell: ({ file, hostId }) => file ?? `on the host ${hostId}` },
];

export function certCommand(): Command {
  const command = new Command('cert').description(
    'Certificates of the store and of hosts. Running programs renew them after half of their lifetime.',
  );
  const list = withDirectories(command.command('list'))
    .description(
      'List the certificates of this host and their expiry; on the host of the store, those of all hosts too.',
    )
    .addOption(jsonOption())
    .action(async (options: Options) => {
      const { listCertificates } = await import('./certificates.ts');
      const found = await listCertificates(defaultsOf(options), systemClock);
      if (options.json) printJson(found);
      else if (found.length === 0) note('this host has no certificate');
      else print(formatTable(COLUMNS, found));
    });
  const renew = withDirectories(command.command('renew'))
    .description(
      'Renew the certificates of this host now. The store and the agent use them from the next connection on, without a ' +
        'restart. Only the host of the store can renew an expired certificate; any other host must join again.',
    )
    .action(async (options: Options) => {
      const { renewCertificates } = await import('./certificates.ts');
      await untilStopped(async signal => {
        const written = await renewCertificates(defaultsOf(options), systemClock, signal);
        if (written.length === 0) {
          const hint = '`tulle up` makes a certificate, and `tulle up --join TOKEN` asks for one';
          throw new CommandError('NOT_FOUND', 'this host has no certificate', hint);
        }
        for (const file of written) print(`renewed ${file}`);
      });
    });
  withExamples(list, [{ line: 'store cert list', does: 'when each certificate expires' }]);
  withExamples(renew, [{ line: 'store cert renew', does: 'renew the certificates of this host' }]);
  return withExamples(command, [
    { line: 'store cert list', does: 'when each certificate expires' },
    { line: 'store cert renew', does: 'renew the certificates of this host' },
  ]);
}

function withDirectories(command: Command): Command {
  return command
    .addOption(
      new Option('--data-dir <dir>', 'where the store keeps its data')
        .default(STORE_DIRECTORY)
        .argParser(text),
    )
    .addOption(
      new Option('--state-dir <dir>', 'where the agent keeps its state')
        .default(STATE_DIRECTORY)
        .argParser(text),
    );
}

const defaultsOf = ({ dataDir, stateDir }: Options) => ({ dataDir, stateDirectory: stateDir });
