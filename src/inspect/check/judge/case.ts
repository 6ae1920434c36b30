/** All that is known when a check is judged. */
import type { InspectionReport, Observation } from '../../../api/inspection.ts';
import type { FastProbe } from '../fast-probe.ts';
import type { RungResult } from '../rung.ts';
import type { CheckSite, PeerSite } from '../site.ts';

/** One peer: what was asked of it, and what its agent says of its host. */
export interface PeerCase {
  readonly peer: PeerSite;
  /** In the order of the ladder. */
  readonly rungs: readonly RungResult[];
  readonly report?: InspectionReport;
  /** Why its agent was not asked, or did not answer; absent with a report, and where none was wanted. */
  readonly unasked?: string;
  /** Of `PeerError`, where it was asked in vain. */
  readonly failure?: string;
}

/** What was seen of the probes of one rung, sent again while hosts watched. */
export interface WatchedRung {
  readonly rung: RungResult;
  /** Probes that were sent meanwhile. */
  readonly sent: number;
  /** Of these. */
  readonly answered: number;
  /** Of a rung that lost some: the same with more probes, where these alone do not tell. */
  readonly repeated?: { readonly sent: number; readonly answered: number };
  readonly here?: Observation;
  readonly there?: Observation;
  /** Why the other host did not watch. */
  readonly unwatched?: string;
}

export interface Case {
  readonly site: CheckSite;
  readonly report: InspectionReport;
  /** What stays on this host. */
  readonly own: readonly RungResult[];
  /** Those that are meant, and some beside them. */
  readonly peers: readonly PeerCase[];
  /** Names of those that are meant. */
  readonly asked: readonly string[];
  readonly watched: readonly WatchedRung[];
  /** Flows of our own, long enough to take the fast path; absent where none was tried. */
  readonly fast?: readonly FastProbe[];
  /** Why one could not be made, one sentence each. */
  readonly unprobed?: readonly string[];
}
