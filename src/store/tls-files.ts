/**
 * The certificates a store shows and accepts, in files. They are read again for the first connection after they have
 * changed, as etcd does it, so that a renewed certificate needs no restart.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type Server, type TlsOptions } from 'node:tls';
import { messageOf, type Problem } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface TlsFilePaths {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The authorities whose clients are let in. */
  readonly ca?: string | undefined;
}

const FLAGS = { cert: '--cert-file', key: '--key-file', ca: '--trusted-ca-file' } as const;

/** Makes the next handshakes with what is in the files then. One that cannot be used is logged, and changes nothing. */
export function followFiles(server: Server, files: TlsFiles, log: Pick<Logger, 'info' | 'warn'>): void {
  // Before the server's own listener, which begins the handshake.
  server.prependListener('connection', () => {
    try {
      const options = files.changed();
      if (options === undefined) return;
      server.setSecureContext(options);
      log.info({}, 'the certificates have changed and are in use');
    } catch (error) {
      log.warn(
        { error: messageOf(error) },
        'the changed certificates cannot be used; the previous ones stay in use',
      );
    }
  });
}

export class TlsFiles {
  readonly #paths: TlsFilePaths;
  readonly #settings: TlsOptions;
  #stamp: string;
  #options: TlsOptions;

  /** Undefined when there are none, or when they cannot be used, which is a problem. */
  static read(paths: TlsFilePaths, insists: boolean, problems: Problem[]): TlsFiles | undefined {
    const unreadable = filesOf(paths).flatMap(([name, file]) => {
      try {
        readFileSync(file);
        return [];
      } catch (error) {
        return { path: FLAGS[name], value: file, message: messageOf(error) };
      }
    });
    problems.push(...unreadable);
    if (unreadable.length > 0 || paths.cert === undefined || paths.key === undefined) return undefined;
    try {
      return new TlsFiles(paths, insists);
    } catch (error) {
      problems.push({ path: FLAGS.cert, value: paths.cert, message: messageOf(error) });
      return undefined;
    }
  }

  /** @throws Error for files that cannot be used */
  constructor(paths: TlsFilePaths, insists: boolean) {
    this.#paths = paths;
    this.#settings = {
      // As etcd: a CA alone already asks clients for a certificate; client-cert-auth insists.
      requestCert: paths.ca !== undefined,
      rejectUnauthorized: insists,
      minVersion: 'TLSv1.2',
    };
    this.#stamp = this.#stampNow();
    this.#options = this.#load();
  }

  /** As they were read last. */
  get options(): TlsOptions {
    return this.#options;
  }

  /** Until when what is in use is good, by file; of several certificates in one file the first counts. */
  get ends(): readonly { readonly file: string; readonly end: Date }[] {
    return filesOf(this.#paths).flatMap(([name, file]) => {
      const pem = this.#options[name];
      return name === 'key' ? [] : { file, end: new X509Certificate(pem as Buffer).validToDate };
    });
  }

  /**
   * What has changed since the last time; undefined when nothing has.
   * @throws Error once for files that cannot be used; until they change again, what was there before stays in use
   */
  changed(): TlsOptions | undefined {
    const stamp = this.#stampNow();
    if (stamp === this.#stamp) return undefined;
    this.#stamp = stamp;
    this.#options = this.#load();
    return this.#options;
  }

  /** A file is another one after a rename; its length and time change when it is written in place. */
  #stampNow(): string {
    return filesOf(this.#paths)
      .map(([, file]) => statSync(file, { throwIfNoEntry: false, bigint: true }))
      .map(stat => `${stat?.ino}/${stat?.size}/${stat?.mtimeNs}`)
      .join();
  }

  #load(): TlsOptions {
    const contents = filesOf(this.#paths).map(([name, file]) => [name, readFileSync(file)] as const);
    const options = { ...Object.fromEntries(contents), ...this.#settings };
    createSecureContext(options);
    return options;
  }
}

function filesOf(paths: TlsFilePaths): (readonly [keyof typeof FLAGS, string])[] {
  return (['cert', 'key', 'ca'] as const).flatMap(name => {
    const file = paths[name];
    return file === undefined ? [] : [[name, file] as const];
  });
}
