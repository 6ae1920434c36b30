/** What `tulle check` says of a planted fault, and whether that is right. */
import * as v from 'valibot';
import { Finding } from '../../src/api/inspection.ts';
import type { Fault } from '../../src/lab/faults/fault.ts';
import { AT_FAULT, HEALTHY } from './fault-lab.ts';

/** Addresses of hosts in every lab of equal hosts. */
const ADDRESSES = { [HEALTHY]: '192.168.65.3', [AT_FAULT]: '192.168.65.4' } as const;

const Report = v.object({ ok: v.boolean(), findings: v.array(Finding) });
export type CheckReport = v.InferOutput<typeof Report>;

export const readReport = (text: string): CheckReport => v.parse(Report, JSON.parse(text));

/** The findings as a person reads them, the likeliest first: for a test that fails where nobody can look any more. */
export const detailsOf = ({ findings }: CheckReport): string =>
  findings
    .map(({ host, code, severity, reason, evidence }) =>
      [`${host} ${code} ${severity}: ${reason}`, ...evidence.slice(0, 12)].join('\n    '),
    )
    .join('\n') || 'nothing';

/**
 * right   the likeliest cause is one of the expected ones, on a host that may be named
 * vague   what was measured is said, of the right host: PACKET_LOST and the like
 * silent  nothing that loses packets was found
 * wrong   another cause, or another host
 */
type Verdict = 'right' | 'vague' | 'silent' | 'wrong';

/** Found by measuring alone. */
const MEASURED = ['PACKET_LOST', 'UNDERLAY_SILENT', 'UNDERLAY_ONE_WAY'];

export function judge(fault: Fault, from: 'here' | 'there', { ok, findings }: CheckReport): Verdict {
  const expected = fault.finds[from];
  // Where no agent knows the name of a host, its address is all there is.
  const names = (fault.names ?? ['host']).flatMap(name => {
    const host = name === 'host' ? AT_FAULT : HEALTHY;
    return [host, ADDRESSES[host]];
  });
  const isRight = ({ code, host }: Finding) => expected.includes(code) && names.some(name => name === host);
  if (fault.effect === 'later' || fault.effect === 'source') {
    if (!ok && !findings.some(each => each.severity === 'error' && isRight(each))) return 'wrong';
    return expected.length === 0 || findings.some(isRight) ? 'right' : 'silent';
  }
  const [first] = findings.filter(({ severity }) => severity === 'error');
  if (first === undefined) return findings.some(isRight) || expected.length === 0 ? 'right' : 'silent';
  if (isRight(first)) return 'right';
  return MEASURED.includes(first.code) && names.some(name => name === first.host) ? 'vague' : 'wrong';
}
