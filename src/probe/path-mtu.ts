/**
 * The largest packet that gets to an address and back. Links that drop what is too large without a word (a black hole
 * for path MTU discovery) are found as well, because every size is tried for real.
 */
import type { Ip } from '../base/ip.ts';
import type { ProbeOptions, ProbeResult, Prober } from './prober.ts';

export interface PathMtu {
  /** Bytes of the largest IP packet that was answered; undefined when not even the smallest was. */
  readonly size: number | undefined;
  /** A larger one was lost without an ICMP error. */
  readonly isBlackHole: boolean;
}

export interface PathMtuOptions extends Omit<ProbeOptions, 'size'> {
  /** Sizes to search, in bytes of the IP packet. */
  readonly least: number;
  readonly most: number;
  /** How often a size must go unanswered to count as lost. */
  readonly tries: number;
}

/** Costs two probes where the largest size passes, and about twelve more where it does not. */
export async function findPathMtu(
  prober: Pick<Prober, 'probe'>,
  to: Ip,
  options: PathMtuOptions,
): Promise<PathMtu> {
  const { tries, least, most, ...rest } = options;
  let isBlackHole = false;
  const ask = async (size: number): Promise<ProbeResult> => {
    let result: ProbeResult = { outcome: 'silent' };
    for (let attempt = 0; attempt < tries && result.outcome === 'silent'; attempt++) {
      result = await prober.probe(to, { ...rest, size });
    }
    return result;
  };
  if ((await ask(least)).outcome !== 'answered') return { size: undefined, isBlackHole };
  let [low, high] = [least, most + 1];
  for (let isTop = true; high - low > 1; ) {
    const size = isTop ? high - 1 : (low + high) >>> 1;
    const result = await ask(size);
    if (result.outcome === 'answered') low = size;
    else high = size;
    if (result.outcome === 'silent') isBlackHole = true;
    // A router that says what its link takes spares the search, if that much does pass.
    const { mtu = 0 } = result.outcome === 'too big' ? result : {};
    isTop = mtu > low && mtu < high;
    if (isTop) high = mtu + 1;
  }
  return { size: low, isBlackHole };
}
