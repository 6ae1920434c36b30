/** A check for scripts. */
import type { Finding } from '../../api/inspection.ts';
import { defined } from '../../base/defined.ts';
import type { Fixed } from './fix.ts';
import type { CheckResult } from './run-check.ts';
import type { RungResult } from './rung.ts';

/** `ok` and `findings` are the interface; the others say how it was found. */
export function checkJson({ ok, findings, known }: CheckResult, fixed: readonly Fixed[]) {
  return {
    ok,
    findings: findings.map(finding),
    host: known.site.host,
    own: known.own.map(rung),
    peers: known.peers
      .filter(({ peer }) => known.asked.includes(peer.name))
      .map(({ peer, rungs, unasked }) => ({
        name: peer.name,
        subnets: Object.values(peer.subnets).map(String),
        rungs: rungs.map(rung),
        ...(unasked !== undefined && { unasked }),
      })),
    fastPath: (known.fast ?? []).map(({ pair, normal, fast, hosts }) => ({
      peer: pair.peer,
      container: pair.container,
      to: String(pair.to),
      normal,
      fast,
      hosts,
    })),
    unprobed: known.unprobed ?? [],
    blind: [known.report, ...known.peers.flatMap(({ report }) => report ?? [])].flatMap(({ host, blind }) =>
      blind.map(what => `${host}: ${what}`),
    ),
    ...(fixed.length > 0 && {
      fixed: fixed.map(one =>
        defined({ code: one.finding.code, commands: one.commands, failure: one.failure }),
      ),
    }),
  };
}

export type CheckDocument = ReturnType<typeof checkJson>;

/** Without what only this host runs. */
const finding = ({ code, severity, host, layer, reason, evidence, remedy, fixable }: Finding): Finding => ({
  code,
  severity,
  host,
  layer,
  reason,
  evidence,
  remedy,
  fixable,
});

const rung = ({ kind, size, bytes, container, to, sent, answered, ms, refusal, largest }: RungResult) =>
  defined({ kind, size, bytes, container, to: String(to), sent, answered, ms, refusal, largest });
