/** The certificates that this agent shows and trusts: until when each is good, and a warning in time. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { CertificateStatus } from '../../api/status.ts';
import type { Clock } from '../../base/clock.ts';
import type { OwnedWarning } from '../../network/reports.ts';
import type { AgentOptions } from '../options/options.ts';
import type { Health } from './health.ts';

/** Milliseconds between two looks. */
const LOOK_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Those that Tulle made are renewed months before: a warning then means that renewal fails. */
const WARN_MS = 30 * DAY_MS;

export interface CertificateWatchOptions {
  /** PEM; of several certificates in one file the first counts. */
  readonly files: readonly string[];
  readonly health: Health;
  readonly clock: Clock;
}

export class CertificateWatch {
  readonly #options: CertificateWatchOptions;
  #found: readonly CertificateStatus[] = [];

  constructor(options: CertificateWatchOptions) {
    this.#options = options;
  }

  /** As they were at the last look. One that cannot be read is missing. */
  get status(): CertificateStatus[] {
    return [...this.#found];
  }

  /** Looks now and then until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#options.clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  async look(): Promise<void> {
    const { files, health, clock } = this.#options;
    const found = await Promise.all(files.map(read));
    this.#found = found.filter(one => one !== undefined);
    const warnings = this.#found.flatMap(one => warningOf(one, clock.now()));
    health.warn('certificates', warnings);
  }
}

async function read(file: string): Promise<CertificateStatus | undefined> {
  try {
    const { subject, validToDate } = new X509Certificate(await readFile(file));
    return { file, subject: subject.replaceAll('\n', ', '), expires: validToDate.toISOString() };
  } catch {
    // The part that connects with it reports why.
    return undefined;
  }
}

function warningOf({ file, subject, expires }: CertificateStatus, now: number): OwnedWarning[] {
  const left = Date.parse(expires) - now;
  if (left > WARN_MS) return [];
  const days = Math.ceil(left / DAY_MS);
  return [
    {
      id: file,
      code: 'CERTIFICATE_EXPIRES',
      severity: left > 0 ? 'warning' : 'error',
      title: left > 0 ? 'a certificate expires soon' : 'a certificate has expired',
      text: `${file} (${subject}) is valid until ${expires}${left > 0 ? `, for ${days} more day${days === 1 ? '' : 's'}` : ''}`,
      hint: 'renew a certificate of `tulle up` with `tulle store cert renew`, and replace the file of any other',
    },
  ];
}

/** Files of the certificates that the agent shows and trusts. */
export function certificateFiles({ store, metrics, peerApi }: AgentOptions): string[] {
  const { caFile, certFile, certificates = [] } = store;
  const ofPeerApi = [peerApi?.files.certFile, peerApi?.files.caFile];
  const files = [
    caFile,
    certFile,
    ...certificates,
    metrics?.tls?.certFile,
    metrics?.tls?.caFile,
    ...ofPeerApi,
  ];
  return [...new Set(files.filter(file => file !== undefined))];
}
