/** What etcd and Tulle's own store have in common as fixtures, so that one test can run with either. */
import process from 'node:process';
import { run } from '../../src/sys/process.ts';

/** A server on loopback, with a directory of its own that disappears with it. */
export interface StoreServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** etcdctl's output. */
  ctl(...args: string[]): Promise<string>;
  /** Ends the process at once, as a crash does. */
  kill(): Promise<void>;
  /** Serves (again), on the same port. `empty` loses the data first. */
  restart(options?: { readonly empty?: boolean }): Promise<void>;
  /** Serves again, with the contents of a file of `etcdctl snapshot save`. */
  restore(snapshot: string): Promise<void>;
  /** The process stops in its tracks; its connections stay open, and nobody answers. */
  pause(): void;
  resume(): void;
}

/** Its own are 2 s until a connection is there, and 5 s. */
const PATIENCE = ['--dial-timeout=30s', '--command-timeout=45s'];

interface EtcdctlOptions {
  /** Authority of the server's certificate, when it has one. */
  readonly caFile?: string | undefined;
  /** Standard input. */
  readonly input?: string;
}

/**
 * Runs etcdctl against a server. Without TLS the endpoint is bare: etcdctl 3.4 sends the whole of `http://HOST:PORT`
 * as `:authority` in some commands, which HTTP/2 does not allow (docs/reference/store-etcdctl.md).
 */
export async function etcdctl(
  url: string,
  args: readonly string[],
  { caFile, input = '' }: EtcdctlOptions = {},
): Promise<string> {
  const trust = caFile === undefined ? {} : { ETCDCTL_CACERT: caFile };
  const endpoint = url.replace(/^http:\/\//, '');
  const { stdout } = await run('etcdctl', [`--endpoints=${endpoint}`, ...PATIENCE, ...args], {
    env: { PATH: process.env['PATH'], ETCDCTL_API: '3', ...trust },
    input,
  });
  return stdout;
}
