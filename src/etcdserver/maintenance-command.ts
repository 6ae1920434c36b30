/** `tulle store snapshot`, `restore`, `accept-loss` and `export`: the ways out of a store, and back. */
import { Command, Option } from 'commander';
import { LOCAL_STORE } from '../console/defaults.ts';
import { withExamples } from '../console/help.ts';
import { list, value } from '../console/options.ts';
import { note, print } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import type { EtcdClient } from '../store/etcd/client.ts';
import type { Loss } from './accept-loss.ts';

const text = value(given => given);
const urls = list(given => given);

interface ConnectionFlags {
  readonly endpoints: readonly string[];
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly user?: string;
}

export function snapshotCommand(): Command {
  const command = connecting(
    new Command('snapshot').description('Save a consistent copy of a running store, with a checksum.'),
  )
    .argument('<file>', 'file to make')
    .action((file: string, flags: ConnectionFlags) =>
      untilStopped(async signal => {
        const { saveSnapshot } = await import('./save-snapshot.ts');
        await using client = await connect(flags);
        const bytes = await saveSnapshot(client, file, signal);
        note(`saved ${bytes} bytes to ${file}`);
      }),
    );
  return withExamples(command, [
    { line: 'store snapshot /backup/tulle.db', does: 'back up the local store' },
  ]);
}

export function restoreCommand(): Command {
  const command = new Command('restore')
    .description('Create the database of a new store from a snapshot.')
    .argument('<file>', 'a snapshot, or the database of a stopped store')
    .addOption(
      new Option('--data-dir <dir>', 'directory of the new store').makeOptionMandatory().argParser(text),
    )
    .action(async (file: string, { dataDir }: { readonly dataDir: string }) => {
      const { restoreSnapshot } = await import('./sqlite/restore.ts');
      const revision = await restoreSnapshot(file, dataDir);
      note(`restored revision ${revision} into ${dataDir}; start it with: tulle store --data-dir ${dataDir}`);
    });
  return withExamples(command, [
    { line: 'store restore /backup/tulle.db --data-dir /var/lib/tulle/store-2', does: 'back to a snapshot' },
  ]);
}

export function acceptLossCommand(): Command {
  const command = new Command('accept-loss')
    .description(
      'Let a stopped store start with what is left, although acknowledged writes are lost (WRITES_LOST). Prints ' +
        'which revisions are lost. Keep a copy of the directory if you want to find out why.',
    )
    .addOption(new Option('--data-dir <dir>', 'directory of the store').makeOptionMandatory().argParser(text))
    .action(async ({ dataDir }: { readonly dataDir: string }) => {
      const { acceptLoss } = await import('./accept-loss.ts');
      const loss = acceptLoss(dataDir);
      note(
        `${loss === undefined ? 'nothing is lost' : lossText(loss)}; start it with: tulle store --data-dir ${dataDir}`,
      );
    });
  return withExamples(command, [
    { line: 'store accept-loss --data-dir /var/lib/tulle/store', does: 'continue without the lost writes' },
  ]);
}

function lossText({ acknowledged, left }: Loss): string {
  if (acknowledged === undefined)
    return `revision ${left} is left; which ones were acknowledged is not known`;
  if (acknowledged <= left) return `no key is lost, revision ${left} is left; leases and users may be older`;
  const lost =
    acknowledged === left + 1n
      ? `revision ${acknowledged} is`
      : `revisions ${left + 1n} to ${acknowledged} are`;
  return `${lost} lost, revision ${left} is left`;
}

export function exportCommand(): Command {
  const command = connecting(
    new Command('export').description(
      'Print every key as one line of JSON (bytes in base64), or put them all into another store or etcd. ' +
        'Leases are copied with their remaining time.',
    ),
  )
    .addOption(new Option('--to <urls>', 'endpoints of the store to put the keys into').argParser(urls))
    .action((flags: ConnectionFlags & { readonly to?: readonly string[] }) =>
      untilStopped(async signal => {
        const { exportedKeys, formatExported, putExported } = await import('./export.ts');
        await using client = await connect(flags);
        const keys = exportedKeys(client, signal);
        if (flags.to === undefined) {
          for await (const key of keys) print(formatExported(key));
          return;
        }
        await using target = await connect({ ...flags, endpoints: flags.to });
        note(`put ${await putExported(target, keys)} keys into ${flags.to.join(', ')}`);
      }),
    );
  return withExamples(command, [
    { line: 'store export > keys.jsonl', does: 'every key of the local store, one per line' },
    { line: 'store export --to http://10.0.0.1:2379,http://10.0.0.2:2379', does: 'move to an etcd cluster' },
  ]);
}

/** Adds the options of a client, named as etcdctl's. */
function connecting(command: Command): Command {
  return command
    .addOption(
      new Option('--endpoints <urls>', 'store to talk to')
        .default([LOCAL_STORE], LOCAL_STORE)
        .argParser(urls),
    )
    .addOption(new Option('--cacert <file>', 'CA of the server, PEM').argParser(text))
    .addOption(new Option('--cert <file>', 'client certificate, PEM').argParser(text))
    .addOption(new Option('--key <file>', 'its private key, PEM').argParser(text))
    .addOption(
      new Option('--user <name:password>', 'user of the store').env('TULLE_STORE_USER').argParser(text),
    );
}

/** The client is loaded only now: `tulle store` itself serves, and has no use for it. */
async function connect({ endpoints, cacert, cert, key, user }: ConnectionFlags): Promise<EtcdClient> {
  const { EtcdClient } = await import('../store/etcd/client.ts');
  const { parseEndpoints } = await import('../store/etcd/endpoint.ts');
  const [name = '', ...password] = user?.split(':') ?? [];
  return new EtcdClient({
    endpoints: parseEndpoints(endpoints),
    tls: {
      ...(cacert === undefined ? {} : { caFile: cacert }),
      ...(cert === undefined ? {} : { certFile: cert }),
      ...(key === undefined ? {} : { keyFile: key }),
    },
    ...(user === undefined ? {} : { user: { name, password: password.join(':') } }),
  });
}
