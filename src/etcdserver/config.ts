/**
 * From the flags of `tulle store` to what the server needs: every value is checked, and all problems are reported at
 * once. Names and meanings are etcd's.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { ConfigError, messageOf, type Problem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { TlsFiles } from '../store/tls-files.ts';
import { parseGoDuration } from './go-duration.ts';
import type { ListenEndpoint } from './http/listener.ts';
import type { AutoCompaction } from './mvcc/compactor.ts';
import { DEFAULT_QUOTA } from './sqlite/quota.ts';

/** As commander parsed them; absent means not given. */
export interface StoreFlags {
  readonly name: string;
  readonly dataDir: string;
  readonly listenClientUrls: readonly string[];
  readonly advertiseClientUrls?: readonly string[];
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly trustedCaFile?: string;
  readonly clientCertAuth?: boolean;
  readonly quotaBackendBytes: string;
  readonly autoCompactionMode: string;
  readonly autoCompactionRetention: string;
  /** etcd 3.6's name of the flag, and the one up to 3.5. */
  readonly watchProgressNotifyInterval?: string;
  readonly experimentalWatchProgressNotifyInterval?: string;
  readonly insecureListen?: boolean;
}

export interface StoreConfig {
  readonly name: string;
  /** Exists and is writable. */
  readonly dataDir: string;
  readonly listen: readonly ListenEndpoint[];
  readonly advertise: readonly string[];
  /** Bytes; undefined: no limit. */
  readonly quota: bigint | undefined;
  readonly autoCompaction: AutoCompaction | undefined;
  /** Milliseconds between the progress reports to a watcher without events. */
  readonly progressMs: number;
}

/** @throws ConfigError with every problem found. */
export function storeConfig(flags: StoreFlags): StoreConfig {
  const problems: Problem[] = [];
  const tls = readTls(flags, problems);
  const listen = flags.listenClientUrls.flatMap(url => readListenUrl(url, flags, tls, problems));
  if (flags.listenClientUrls.length === 0) {
    problems.push({ path: '--listen-client-urls', message: 'at least one URL is needed' });
  }
  const advertise = flags.advertiseClientUrls ?? flags.listenClientUrls;
  for (const url of flags.advertiseClientUrls ?? []) {
    if (parseUrl(url) === undefined)
      problems.push({ path: '--advertise-client-urls', value: url, message: NO_URL });
  }
  const quota = readQuota(flags, problems);
  const autoCompaction = readCompaction(flags, problems);
  const progressMs = readProgressInterval(flags, problems);
  // Making the directory is the one effect, and it waits until everything else is right.
  if (problems.length === 0) ensureDirectory(flags.dataDir, problems);
  if (problems.length > 0) throw new ConfigError('tulle store', problems);
  return { name: flags.name, dataDir: flags.dataDir, listen, advertise, quota, autoCompaction, progressMs };
}

const NO_URL = 'want http://HOST:PORT or https://HOST:PORT';

function parseUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  const ok =
    url !== null &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.hostname !== '' &&
    url.pathname === '/' &&
    url.search === '' &&
    url.username === '';
  return ok ? url : undefined;
}

function readListenUrl(
  text: string,
  flags: StoreFlags,
  tls: TlsFiles | undefined,
  problems: Problem[],
): ListenEndpoint[] {
  const path = '--listen-client-urls';
  const url = parseUrl(text);
  if (url === undefined) {
    problems.push({ path, value: text, message: NO_URL });
    return [];
  }
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // The URL parser drops the port that is the scheme's own.
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const address = host === 'localhost' ? Ip.parse('127.0.0.1') : Ip.tryParse(host);
  if (address === undefined) {
    problems.push({ path, value: text, message: 'want an address of this host, not a name' });
    return [];
  }
  if (secure && flags.certFile === undefined) {
    problems.push({ path, value: text, message: 'https needs --cert-file and --key-file' });
  }
  if (!secure && !address.isLoopback && flags.insecureListen !== true) {
    problems.push({
      path,
      value: text,
      message:
        'plain TCP is served on loopback only: any host that reaches the port could read and write everything',
      hint: 'use https with --cert-file, --key-file and --client-cert-auth, or --insecure-listen in a network you trust',
    });
  }
  return [
    {
      host: address.toString(),
      port,
      ...(secure && tls !== undefined ? { tls: tls.options, files: tls } : {}),
    },
  ];
}

function readTls(flags: StoreFlags, problems: Problem[]): TlsFiles | undefined {
  const { certFile, keyFile, trustedCaFile: caFile, clientCertAuth } = flags;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const missing = certFile === undefined ? '--cert-file' : '--key-file';
    problems.push({ path: missing, message: '--cert-file and --key-file must be given together' });
  }
  if (clientCertAuth === true && caFile === undefined) {
    problems.push({
      path: '--client-cert-auth',
      message: 'needs --trusted-ca-file, the CA that signs the certificates of clients',
    });
  }
  return TlsFiles.read({ cert: certFile, key: keyFile, ca: caFile }, clientCertAuth === true, problems);
}

function readQuota({ quotaBackendBytes: text }: StoreFlags, problems: Problem[]): bigint | undefined {
  if (!/^-?\d+$/.test(text)) {
    problems.push({ path: '--quota-backend-bytes', value: text, message: 'want a number of bytes' });
    return undefined;
  }
  const bytes = BigInt(text);
  return bytes === 0n ? DEFAULT_QUOTA : bytes < 0n ? undefined : bytes;
}

/** etcd's default and minimum; the longest time that a timer of Node can wait. */
const PROGRESS_MS = { default: 600_000, min: 100, max: 2 ** 31 - 1 };

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

function readCompaction(flags: StoreFlags, problems: Problem[]): AutoCompaction | undefined {
  const { autoCompactionMode: mode, autoCompactionRetention: retention } = flags;
  const path = '--auto-compaction-retention';
  if (mode !== 'periodic' && mode !== 'revision') {
    problems.push({ path: '--auto-compaction-mode', value: mode, message: 'want periodic or revision' });
    return undefined;
  }
  if (retention === '0') return undefined;
  if (mode === 'revision') {
    if (/^\d+$/.test(retention)) return { mode, keep: BigInt(retention) };
    problems.push({ path, value: retention, message: 'want a number of revisions' });
    return undefined;
  }
  // A number without a unit is hours, as etcd reads it.
  const [, amount, unit] = /^(\d+)([smh]?)$/.exec(retention) ?? [];
  const unitMs = UNITS_MS[unit === '' ? 'h' : (unit ?? '')];
  if (amount !== undefined && unitMs !== undefined) return { mode, keepMs: Number(amount) * unitMs };
  problems.push({ path, value: retention, message: 'want for example 8h or 30m' });
  return undefined;
}

/** As etcd: 0 and less is the default, and a shorter interval than its shortest is that one. */
function readProgressInterval(flags: StoreFlags, problems: Problem[]): number {
  const read = (path: string, value: string | undefined) => {
    if (value === undefined) return undefined;
    try {
      return parseGoDuration(value);
    } catch (error) {
      problems.push({ path, value, message: messageOf(error) });
      return undefined;
    }
  };
  const experimental = read(
    '--experimental-watch-progress-notify-interval',
    flags.experimentalWatchProgressNotifyInterval,
  );
  const ms = read('--watch-progress-notify-interval', flags.watchProgressNotifyInterval) ?? experimental ?? 0;
  return ms > 0 ? Math.min(Math.max(ms, PROGRESS_MS.min), PROGRESS_MS.max) : PROGRESS_MS.default;
}

function ensureDirectory(path: string, problems: Problem[]): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    problems.push({ path: '--data-dir', value: path, message: messageOf(error) });
  }
}
