/** Certificates for tests, made with the openssl command in a directory of the test. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const openssl = (...args: string[]) => run('openssl', args);

/** A certificate and its key, as files. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export class Authority {
  readonly #directory: string;
  readonly #name: string;

  private constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  static async create(directory: string, name = 'ca'): Promise<Authority> {
    const authority = new Authority(directory, name);
    const { keyFile } = authority.#files(name);
    await openssl(
      'req',
      '-x509',
      ...newKey(keyFile),
      '-out',
      authority.caFile,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    );
    return authority;
  }

  get caFile(): string {
    return this.#files(this.#name).certFile;
  }

  /**
   * A certificate for `names`, in openssl's words: `IP:127.0.0.1`, `DNS:localhost`. It serves servers and
   * clients, because etcd uses its own for both.
   */
  async issue(
    commonName: string,
    options: { readonly names?: readonly string[]; readonly expired?: boolean } = {},
  ): Promise<Certificate> {
    const files = this.#files(`${this.#name}-${commonName}`);
    const request = `${files.certFile}.csr`;
    const extensions = `${files.certFile}.ext`;
    const { names = ['IP:127.0.0.1', 'DNS:localhost'] } = options;
    await openssl('req', ...newKey(files.keyFile), '-out', request, '-subj', `/CN=${commonName}`);
    await writeFile(
      extensions,
      `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    const from = this.#files(this.#name);
    // A negative validity ends before it begins: yesterday.
    const days = options.expired === true ? '-1' : '1';
    await openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      from.certFile,
      '-CAkey',
      from.keyFile,
      // A file of serial numbers would be shared by those that are issued at once.
      '-set_serial',
      `0x${randomBytes(8).toString('hex')}`,
      '-days',
      days,
      '-extfile',
      extensions,
      '-out',
      files.certFile,
    );
    return files;
  }

  #files(name: string): Certificate {
    return {
      certFile: join(this.#directory, `${name}.pem`),
      keyFile: join(this.#directory, `${name}-key.pem`),
    };
  }
}

const newKey = (file: string) => [
  '-newkey',
  'ec',
  '-pkeyopt',
  'ec_paramgen_curve:P-256',
  '-noenc',
  '-keyout',
  file,
];
