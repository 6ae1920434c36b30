/**
 * What a host shows to other hosts and trusts of them, in files. They are read again for the first connection after they
 * have changed, on both sides: certificates are renewed while programs run.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SecureContext } from 'node:tls';
import { messageOf } from '../../base/errors.ts';
import { PeerError } from './peer-error.ts';

/** Paths of PEM files. */
export interface CredentialFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** As they were read. */
export interface Credentials {
  /** For both ends of connections. */
  readonly context: SecureContext;
  readonly authorities: readonly X509Certificate[];
}

/** Those that a host has got when it joined a store, whether they are there or not. */
export function joinedFiles(stateDirectory: string): CredentialFiles {
  const path = (name: string) => join(stateDirectory, 'trust', name);
  return { caFile: path('ca.pem'), certFile: path('host.pem'), keyFile: path('host-key.pem') };
}

export class CredentialReader {
  readonly files: CredentialFiles;
  #stamp = '';
  #read: Credentials | undefined;

  constructor(files: CredentialFiles) {
    this.files = files;
  }

  /** What is in the files now. @throws PeerError NO_CERTIFICATE */
  read(): Credentials {
    const { caFile, certFile, keyFile } = this.files;
    const stamp = [caFile, certFile, keyFile].map(stampOf).join();
    if (this.#read !== undefined && stamp === this.#stamp) return this.#read;
    try {
      const [ca, cert, key] = [readFileSync(caFile), readFileSync(certFile), readFileSync(keyFile)];
      const authorities = certificatesIn(ca.toString('latin1'));
      if (authorities.length === 0) throw new Error(`${caFile} has no certificate`);
      const { createSecureContext } = process.getBuiltinModule('node:tls');
      const context = createSecureContext({ ca, cert, key, minVersion: 'TLSv1.3' });
      this.#read = { context, authorities };
      this.#stamp = stamp;
      return this.#read;
    } catch (cause) {
      throw new PeerError('NO_CERTIFICATE', `this host has no certificate to show: ${messageOf(cause)}`, {
        hint: 'hosts get one with `tulle up`; for `tulle agent` give --peer-api-certfile, --peer-api-keyfile and --peer-api-cafile',
        cause,
      });
    }
  }
}

const certificatesIn = (pem: string): X509Certificate[] =>
  Array.from(
    pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g),
    ([text]) => new X509Certificate(text),
  );

/** A file is another one after a rename; its length and time change when it is written in place. */
function stampOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return `${stat?.ino}/${stat?.size}/${stat?.mtimeNs}`;
}
