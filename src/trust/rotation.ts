/** Certificates that are renewed while they are in use: who reads the files next has the new ones. */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { messageOf, TulleError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { TrustError } from './errors.ts';
import { readJoined, saveJoined } from './host-trust.ts';
import { renewCertificate } from './join-client.ts';
import { isDueForRenewal } from './x509.ts';

/** Milliseconds between two looks at the longest. Half of a certificate's life is months, so an hour is often. */
const LOOK_MS = 3_600_000;

/** Renews what is due and returns the files that were written. */
export type Renew = (signal: AbortSignal) => Promise<readonly string[]>;

export interface RotationOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Calls `renew` now and at least once an hour until `signal` aborts. A failure is logged and tried again. */
export async function rotate(renew: Renew, { clock, log, signal }: RotationOptions): Promise<void> {
  let reported: string | undefined;
  while (!signal.aborted) {
    try {
      for (const file of await renew(signal)) log.info({ file }, 'a certificate was renewed');
      reported = undefined;
    } catch (error) {
      const reason = messageOf(error);
      if (!signal.aborted && reason !== reported) {
        const hint = error instanceof TulleError ? error.hint : undefined;
        log.warn(
          { error: reason, hint },
          'a certificate could not be renewed; the next try is within an hour',
        );
        reported = reason;
      }
    }
    // Spread, so that hosts that started together do not come together.
    await clock.sleep(LOOK_MS * (0.5 + Math.random() / 2), signal).catch(() => undefined);
  }
}

export interface RenewHostOptions {
  /** Half of its lifetime is over, by default. */
  readonly isDue?: (certificate: string) => boolean;
  /** How the store is asked. */
  readonly ask?: typeof renewCertificate;
}

/** For a host that has joined: asks the store for the successor of its certificate. @throws TrustError */
export async function renewHost(
  stateDirectory: string,
  now: number,
  signal: AbortSignal,
  { isDue = pem => isDueForRenewal(pem, now), ask = renewCertificate }: RenewHostOptions = {},
): Promise<string[]> {
  const joined = await readJoined(stateDirectory);
  if (joined === undefined || !isDue(joined.certificate)) return [];
  const end = new X509Certificate(joined.certificate).validToDate;
  if (end.getTime() <= now) {
    throw new TrustError(
      'NO_CERTIFICATE',
      `the certificate of this host has expired on ${end.toISOString()}`,
      {
        hint: 'join again: `tulle store token` on the host of the store, and here `tulle up --join TOKEN`',
      },
    );
  }
  const { certFile, caFile } = await saveJoined(stateDirectory, await ask(joined, signal));
  return [certFile, caFile];
}
