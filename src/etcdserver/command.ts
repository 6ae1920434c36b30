/** `tulle store`: the embedded store's command line. Flags are etcd's. */
import { Command, Option } from 'commander';
import { aborted } from '../base/abort.ts';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { LOCAL_STORE, STORE_DIRECTORY } from '../console/defaults.ts';
import { withExamples } from '../console/help.ts';
import type { LogFormat } from '../console/log-format.ts';
import { list, logFormatOption, value } from '../console/options.ts';
import { STOP_PATIENCE, untilStopped } from '../console/signals.ts';
import { type StoreFlags, storeConfig } from './config.ts';
import { acceptLossCommand, exportCommand, restoreCommand, snapshotCommand } from './maintenance-command.ts';
import type { StoreServerOptions } from './store-server.ts';

const urls = list(text => text);
const text = value(given => given);

/** What is kept in the data directory beside the database. */
export interface StoreAddition {
  readonly rules: Pick<StoreServerOptions, 'authorizer' | 'enrollment'>;
  /** Works as long as the store does: until `signal` aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** What another room adds to the store: more commands, and rules kept in the data directory. */
export interface StoreExtension {
  readonly commands: readonly Command[];
  readonly open: (dataDir: string, log: Logger) => Promise<StoreAddition | undefined>;
}

export function storeCommand(extension: StoreExtension): Command {
  const command = new Command('store')
    .description(
      'A store for one machine that speaks the etcd v3 API: the agent, etcdctl and flanneld use it unchanged. ' +
        'It does not replicate; docs/guide/store.md describes its limits and how to move to etcd.',
    )
    .addOption(new Option('--name <name>', 'name of this member').default('default').argParser(text))
    .addOption(
      new Option('--data-dir <dir>', 'where the database is kept').default(STORE_DIRECTORY).argParser(text),
    )
    .addOption(
      new Option('--listen-client-urls <urls>', 'addresses to serve on, separated by commas')
        .default([LOCAL_STORE], LOCAL_STORE)
        .argParser(urls),
    )
    .addOption(
      new Option(
        '--advertise-client-urls <urls>',
        'addresses to announce to clients (default: those served)',
      ).argParser(urls),
    )
    .addOption(new Option('--cert-file <file>', "the server's certificate, PEM").argParser(text))
    .addOption(new Option('--key-file <file>', 'its private key, PEM').argParser(text))
    .addOption(new Option('--trusted-ca-file <file>', 'CA of client certificates, PEM').argParser(text))
    .option('--client-cert-auth', 'refuse clients without a certificate of that CA')
    .option('--insecure-listen', 'serve plain TCP on addresses other than loopback')
    .addOption(
      new Option('--quota-backend-bytes <bytes>', 'largest database; 0: 2 GiB, negative: no limit')
        .default('0')
        .argParser(text),
    )
    .addOption(
      new Option('--auto-compaction-mode <mode>', 'what the retention counts: periodic or revision')
        .default('periodic')
        .argParser(text),
    )
    .addOption(
      new Option('--auto-compaction-retention <length>', 'history to keep: 8h, 30m, or revisions; 0: all')
        .default('0')
        .argParser(text),
    )
    .addOption(
      new Option(
        '--watch-progress-notify-interval <time>',
        'time between progress reports to a watcher without events: 10s, 1m30s; 100ms at least (default: 10m)',
      ).argParser(text),
    )
    .addOption(
      new Option(
        '--experimental-watch-progress-notify-interval <time>',
        'the name of that flag up to etcd 3.5',
      ).argParser(text),
    )
    .addOption(logFormatOption())
    .addCommand(snapshotCommand())
    .addCommand(restoreCommand())
    .addCommand(acceptLossCommand())
    .addCommand(exportCommand())
    .action(async ({ logFormat, ...flags }: StoreFlags & { readonly logFormat: LogFormat }) => {
      const config = storeConfig(flags);
      // Loaded only now: help and a wrong flag should answer at once.
      const { openLog } = await import('../console/daemon-log.ts');
      const { StoreServer } = await import('./store-server.ts');
      const serve = async (signal: AbortSignal) => {
        const log = openLog(0, logFormat);
        const addition = await extension.open(config.dataDir, log);
        await using server = await StoreServer.start({
          ...config,
          ...addition?.rules,
          clock: systemClock,
          log,
        });
        log.info({ dataDir: config.dataDir, ports: server.ports, revision: server.revision }, 'serving');
        await Promise.all([aborted(signal), addition?.run(signal)]);
        log.info({}, 'stopping');
      };
      await untilStopped(serve, { within: STOP_PATIENCE });
    });
  for (const more of extension.commands) command.addCommand(more);
  return withExamples(command, [
    { line: 'store', does: 'serve on 127.0.0.1:2379, keep the data in /var/lib/tulle/store' },
    {
      line: 'store --listen-client-urls https://192.168.65.3:2379 --cert-file s.pem --key-file s-key.pem --trusted-ca-file ca.pem --client-cert-auth',
      does: 'serve other hosts, with certificates on both sides',
    },
    { line: 'store --auto-compaction-retention 8h', does: 'keep eight hours of history' },
  ]);
}
