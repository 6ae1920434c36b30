/** A journey for scripts. */
import type { JourneyEnd } from './journey-end.ts';
import type { TraceResult } from './trace-journey.ts';

export interface JourneyEnds {
  readonly from: JourneyEnd;
  readonly to: JourneyEnd;
}

export function journeyJson(
  { hops, broken, isHidden, legs, sent, unmeasured, fastPath, unasked, blind }: TraceResult,
  ends: JourneyEnds,
) {
  const { isPlaceOnly: _, ...known } = broken ?? {};
  return {
    ok: broken === undefined,
    from: { ...endOf(ends.from), address: String(legs[0]?.from) },
    to: { ...endOf(ends.to), address: String(legs[0]?.to) },
    hops,
    ...(broken !== undefined && { broken: known }),
    ...(isHidden && { arrived: 'unknown' }),
    ...(sent === undefined ? { unmeasured } : { sent }),
    fastPath,
    unasked,
    blind,
  };
}

const endOf = ({ host, container }: JourneyEnd) => ({
  ...(host !== undefined && { host }),
  ...(container !== undefined && { container }),
});
