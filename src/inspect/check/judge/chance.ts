/** What is broken when it is asked again is broken; the rest was chance. Pure. */
import { lossOf, type RungResult, rungState } from '../rung.ts';
import type { Case, WatchedRung } from './case.ts';
import { accountsFor, type Root } from './roots.ts';

/** Sentences about what was measured once. */
const MOST_UNSURE = 5;

/**
 * What was lost once, and is answered when it is asked again, is no loss: the hosts were busy. A loss of some packets is one
 * that is measured twice, at two moments.
 */
export function withoutChance(known: Case, roots: readonly Root[]): Case {
  const over = known.watched.filter(isOver);
  const once = roots.filter(
    ({ rung, state }) => state === 'lossy' && !known.watched.some(one => one.rung === rung),
  );
  const recovered = new Set(
    roots
      .filter(root => once.includes(root) || over.some(one => one.rung === root.rung))
      .flatMap(root => [...root.rungs, ...largeOf(root)]),
  );
  if (recovered.size === 0) return known;
  const unsure = once.map(
    ({ rung }) => `${lossOf(rung)} % of the packets to ${rung.to} were lost, and this was not measured again`,
  );
  const asNow = (rung: RungResult) => (recovered.has(rung) ? { ...rung, answered: rung.sent } : rung);
  return {
    ...known,
    report: { ...known.report, blind: [...known.report.blind, ...unsure.slice(0, MOST_UNSURE)] },
    own: known.own.map(asNow),
    peers: known.peers.map(peer => ({ ...peer, rungs: peer.rungs.map(asNow) })),
    watched: known.watched.filter(one => !over.includes(one)),
  };
}

function isOver({ rung, sent, answered, repeated }: WatchedRung): boolean {
  if (rungState(rung) === 'broken') return answered === sent;
  return repeated !== undefined && rungState(repeated) === 'ok';
}

/** Large ones were lost as the small ones were. */
const largeOf = ({ rung, state, peer }: Root): RungResult[] =>
  (peer?.rungs ?? []).filter(
    one =>
      one.size === 'full' &&
      one.to.family === rung.to.family &&
      rungState(one) === state &&
      accountsFor(rung, one),
  );
