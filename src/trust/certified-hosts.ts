/**
 * Which hosts a store has certified, and for which key. Every client can read an id, and only its host has the key: so
 * another certificate for an id that is listed here needs the same key, or a token that an administrator made for the id.
 *
 *     <directory>/<host id>.json   {"version":1,"key":"<SHA-256 of the public key>","name":"docker2","expiresAt":"..."}
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isCode, messageOf } from '../base/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import { TrustError } from './errors.ts';
import { HostId, HostName } from './join.ts';
import { hexText } from './token.ts';

const HostFile = v.object({
  version: v.literal(1),
  key: hexText(32),
  name: v.exactOptional(HostName),
  expiresAt: v.pipe(v.string(), v.isoTimestamp()),
});

export interface CertifiedHost {
  readonly hostId: string;
  /** SHA-256 of its public key, hex. */
  readonly key: string;
  /** What it called itself when it joined; proves nothing. */
  readonly name?: string;
  /** When its certificate ends. ISO 8601, UTC. */
  readonly expiresAt: string;
}

export class CertifiedHosts {
  readonly #directory: string;
  /** One after the other: two hosts that come with one id at the same time must not both find it free. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Runs `work` while no other process changes the files. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** @throws TrustError when its file is damaged: what it says is not known, so its certificate is not issued again */
  async find(hostId: string): Promise<CertifiedHost | undefined> {
    // An id comes from outside; what is none could name another file.
    if (!v.is(HostId, hostId)) return undefined;
    const path = this.#fileOf(hostId);
    try {
      const { version: _, ...rest } = v.parse(HostFile, JSON.parse(await readFile(path, 'utf8')));
      return { hostId, ...rest };
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw new TrustError(
        'NO_CERTIFICATE',
        `the record ${path} of a host cannot be read: ${messageOf(error)}`,
        {
          hint: 'restore it from a backup, or remove it: then any valid token can claim the id of this host',
          cause: error,
        },
      );
    }
  }

  /** By id or by name; several when hosts share a name. */
  async search(idOrName: string): Promise<readonly CertifiedHost[]> {
    const hosts = await this.list();
    return hosts.filter(({ hostId, name }) => hostId === idOrName || name === idOrName);
  }

  /** @throws TrustError when a file is damaged */
  async list(): Promise<readonly CertifiedHost[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (isCode(error, 'ENOENT')) return [];
      throw error;
    });
    const ids = names.flatMap(name => /^([^.]+)\.json$/.exec(name)?.[1] ?? []).sort();
    const found = await Promise.all(ids.map(id => this.find(id)));
    return found.filter(host => host !== undefined);
  }

  async write({ hostId, ...rest }: CertifiedHost): Promise<void> {
    const file: v.InferInput<typeof HostFile> = { version: 1, ...rest };
    await writeFileAtomic(this.#fileOf(hostId), `${JSON.stringify(file)}\n`, {
      mode: 0o600,
      directoryMode: 0o700,
    });
  }

  #fileOf(hostId: string): string {
    return join(this.#directory, `${hostId}.json`);
  }
}
