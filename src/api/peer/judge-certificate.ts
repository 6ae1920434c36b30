/**
 * Whose a certificate is (docs/decisions/0020-peer-api.md). Both sides of a connection between hosts ask this, and nothing
 * else decides: it is of the authority itself, good by the clock of this host, and of a host or an administrator.
 *
 * The authority signs leaves and nothing else, so there is no chain to follow. What a certificate may be used for by its
 * extended key usage is not asked: that of a host says `client`, and here a host is a server as well.
 */
import type { X509Certificate } from 'node:crypto';

/** Who shows a certificate: a host by its host id, an administrator by a name. */
export interface PeerCaller {
  readonly kind: 'host' | 'administrator';
  readonly name: string;
}

/** Why a certificate does not count, as a stable word and as a sentence that goes on from "the certificate". */
export interface CertificateObjection {
  readonly code: 'OTHER_AUTHORITY' | 'NOT_YET_VALID' | 'EXPIRED' | 'AUTHORITY_EXPIRED' | 'NO_HOST';
  readonly reason: string;
}

/** Organization of a certificate's subject -> what its owner is (src/trust/authority.ts). */
const KINDS: Readonly<Record<string, PeerCaller['kind']>> = {
  'tulle:host': 'host',
  'tulle:admin': 'administrator',
};

/**
 * @param certificate shown by the other side, which has proved that it has the key
 * @param now milliseconds since 1970
 */
export function judgeCertificate(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
  now: number,
): PeerCaller | CertificateObjection {
  const issuers = authorities.filter(
    one => certificate.checkIssued(one) && certificate.verify(one.publicKey),
  );
  if (issuers.length === 0) return { code: 'OTHER_AUTHORITY', reason: 'is of another authority' };
  if (!issuers.some(issuer => isGood(issuer, now))) {
    return { code: 'AUTHORITY_EXPIRED', reason: 'is of an authority whose own certificate is not valid now' };
  }
  const { validFromDate, validToDate } = certificate;
  if (now < validFromDate.getTime()) {
    return {
      code: 'NOT_YET_VALID',
      reason: `is valid from ${validFromDate.toISOString()} on, which is later`,
    };
  }
  if (now > validToDate.getTime()) {
    return { code: 'EXPIRED', reason: `has expired on ${validToDate.toISOString()}` };
  }
  const { CN: name, O: organization } = certificate.toLegacyObject().subject as Subject;
  const kind = typeof organization === 'string' ? KINDS[organization] : undefined;
  // One with several names is nobody's.
  if (kind === undefined || typeof name !== 'string' || name === '') {
    return { code: 'NO_HOST', reason: 'is neither of a host nor of an administrator' };
  }
  return { kind, name };
}

export const isPeerCaller = (found: PeerCaller | CertificateObjection): found is PeerCaller =>
  'kind' in found;

const isGood = ({ validFromDate, validToDate }: X509Certificate, now: number) =>
  validFromDate.getTime() <= now && now <= validToDate.getTime();

/** A part that a name has several times is a list. */
interface Subject {
  readonly CN?: string | readonly string[];
  readonly O?: string | readonly string[];
}
