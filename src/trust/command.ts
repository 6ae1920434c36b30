/** `tulle store init` and `tulle store token`: who may join, said on the host of the store. */
import { Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { NETWORK_PREFIX, STORE_DIRECTORY } from '../console/defaults.ts';
import { CommandError } from '../console/errors.ts';
import { formatDuration } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { duration, ipAddress, jsonOption, port, repeated, value } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { type Column, formatTable } from '../console/table.ts';
import type { StoreExtension } from '../etcdserver/command.ts';
import { certCommand } from './cert-command.ts';
import type { StoreTrust } from './store-trust.ts';
import type { TokenEntry } from './token-store.ts';

/** Without `--expires`; also that of the token which the first host shows. */
export const TOKEN_MS = 86_400_000;
/** A token that is good for longer would be a password. */
const LONGEST_TOKEN_MS = 365 * 86_400_000;

const text = value(given => given);
const dataDir = () =>
  new Option('--data-dir <dir>', 'where the store keeps its data').default(STORE_DIRECTORY).argParser(text);

/** What trust adds to `tulle store`: commands, the rules of an authority in its data directory, and its renewal. */
export function storeTrust(): StoreExtension {
  return {
    commands: [initCommand(), tokenCommand(), certCommand()],
    async open(directory: string, log: Logger) {
      const { StoreTrust } = await import('./store-trust.ts');
      const trust = await StoreTrust.open(directory, systemClock);
      if (trust === undefined) return undefined;
      const { rotate } = await import('./rotation.ts');
      const run = (signal: AbortSignal) =>
        rotate(() => trust.authority.renew(), { clock: systemClock, log, signal });
      return { rules: trust.extension(log), run };
    },
  };
}

interface InitOptions {
  readonly dataDir: string;
  readonly address: readonly Ip[];
  readonly name?: readonly string[];
  readonly port: number;
  readonly etcdPrefix: string;
}

function initCommand(): Command {
  const command = new Command('init')
    .description(
      'Create a certificate authority for a store, and certificates for the store and its administrator. Run again ' +
        'with other addresses, it keeps the authority and renews the certificates that must change.',
    )
    .addOption(dataDir())
    .addOption(
      new Option(
        '--address <ip>',
        'address at which hosts reach the store; repeatable, tokens contain the first',
      )
        .argParser(repeated(ipAddress))
        .makeOptionMandatory(),
    )
    .addOption(new Option('--name <dns>', 'name of the store; repeatable').argParser(repeated(text)))
    .addOption(new Option('--port <port>', 'its port').default(2379).argParser(port))
    .addOption(
      new Option('--etcd-prefix <key>', 'key prefix of the network').default(NETWORK_PREFIX).argParser(text),
    )
    .action(async (options: InitOptions) => {
      const { StoreTrust } = await import('./store-trust.ts');
      const [first = Ip.parse('127.0.0.1')] = options.address;
      const trust = await StoreTrust.init(
        options.dataDir,
        { address: hostAndPort(first, options.port), prefix: options.etcdPrefix },
        storeNames(options.address, options.name ?? []),
        systemClock,
      );
      const { authority, server, admin } = trust.authority.files;
      print(`authority      ${authority}`);
      print(`store          ${server.certificate}, ${server.key}`);
      print(`administrator  ${admin.certificate}, ${admin.key}`);
    });
  return withExamples(command, [
    { line: 'store init --address 192.168.65.3', does: 'an authority, and certificates for this address' },
  ]);
}

const TOKEN_COLUMNS: readonly Column<Omit<TokenEntry, 'hash'>>[] = [
  { title: 'id', cell: token => token.id },
  { title: 'created', cell: token => token.createdAt },
  { title: 'expires', cell: token => token.expiresAt },
  { title: 'for', cell: token => token.hostId ?? 'new hosts' },
];

interface TokenOptions {
  readonly dataDir: string;
  readonly json?: true;
  readonly expires: number;
  readonly host?: string;
}

function tokenCommand(): Command {
  const command = new Command('token')
    .description('Print a token with which further hosts join: run `tulle up --join TOKEN` there.')
    .addOption(dataDir())
    .addOption(
      new Option('--expires <duration>', 'how long it is valid: 30m, 24h')
        .default(TOKEN_MS, '24h')
        .argParser(duration({ min: 1000, max: LONGEST_TOKEN_MS })),
    )
    .addOption(
      new Option(
        '--host <id|name>',
        'only for this host, which has lost its key: it gets its id and its subnet again',
      ).argParser(text),
    )
    .addOption(jsonOption())
    .action(async (options: TokenOptions) => {
      const trust = await trustIn(options.dataDir);
      const hostId = options.host === undefined ? undefined : await hostNamed(trust, options.host);
      const token = await trust.createToken(options.expires, hostId);
      const address = trust.site.address;
      if (options.json)
        printJson({ token, address, expiresInMs: options.expires, ...(hostId && { hostId }) });
      else {
        print(token);
        note(`valid for ${formatDuration(options.expires)}; on the new host: tulle up --join TOKEN`);
      }
    });
  const list = command
    .command('list')
    .description('List the valid tokens. Their secrets are not stored, so they cannot be shown again.')
    .addOption(dataDir())
    .addOption(jsonOption())
    .action(async (options: TokenOptions) => {
      const tokens = await (await trustIn(options.dataDir)).tokens.list();
      const shown = tokens.map(({ id, createdAt, expiresAt, hostId }) => ({
        id,
        createdAt,
        expiresAt,
        ...(hostId !== undefined && { hostId }),
      }));
      if (options.json) printJson(shown);
      else if (shown.length === 0) note('there is no valid token');
      else print(formatTable(TOKEN_COLUMNS, shown));
    });
  withExamples(list, [{ line: 'store token list', does: 'the id and the expiry of each token' }]);
  const revoke = command
    .command('revoke')
    .description('Revoke a token. Hosts that joined with it are not affected.')
    .argument('<id>', 'id, as `list` shows it')
    .addOption(dataDir())
    .action(async (id: string, options: TokenOptions) => {
      if (!(await (await trustIn(options.dataDir)).tokens.revoke(id))) {
        throw new CommandError(
          'NOT_FOUND',
          `there is no token with the id ${id}`,
          '`tulle store token list` shows all',
        );
      }
      note(`token ${id} is revoked`);
    });
  withExamples(revoke, [
    { line: 'store token revoke 3f9c01a7be52', does: 'no further host can join with it' },
  ]);
  return withExamples(command, [
    { line: 'store token', does: 'a token for a day' },
    { line: 'store token --expires 30m --json', does: 'a short one, for a script' },
    { line: 'store token --host docker2', does: 'for a host that lost its disk, or its key' },
    { line: 'store token list', does: 'the valid tokens' },
    { line: 'store token revoke 3f9c01a7be52', does: 'refuse one' },
  ]);
}

/** The id of a host that has a certificate. @throws CommandError */
async function hostNamed(trust: StoreTrust, idOrName: string): Promise<string> {
  const found = await trust.hosts.search(idOrName);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only.hostId;
  const hint = '`tulle store cert list` shows every host that has a certificate';
  if (only === undefined) throw new CommandError('NOT_FOUND', `no host ${idOrName} has a certificate`, hint);
  const ids = found.map(({ hostId }) => hostId).join(', ');
  throw new CommandError(
    'USAGE',
    `several hosts are called ${idOrName}: ${ids}`,
    'give the id of one of them',
  );
}

/** `192.168.65.3:2379`, `[fd00::3]:2379`. */
export function hostAndPort(address: Ip, at: number): string {
  return address.family === 'ipv6' ? `[${address}]:${at}` : `${address}:${at}`;
}

/** Clients on the store's own host reach it by loopback. */
export function storeNames(addresses: readonly Ip[], names: readonly string[]) {
  return {
    addresses: [...addresses, Ip.parse('127.0.0.1'), Ip.parse('::1')],
    names: [...names, 'localhost'],
  };
}

async function trustIn(directory: string): Promise<StoreTrust> {
  const { StoreTrust } = await import('./store-trust.ts');
  const trust = await StoreTrust.open(directory, systemClock);
  if (trust !== undefined) return trust;
  throw new CommandError(
    'NOT_FOUND',
    `there is no certificate authority in ${directory}`,
    'make one with `tulle store init`, or run `tulle up`, which does it',
  );
}
