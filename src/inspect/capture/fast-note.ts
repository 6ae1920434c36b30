/** What a capture does not show because of the fast path, said once when it begins: only while flows go it. */

import { formatCount } from '../../console/format.ts';
import { isFast } from '../../fastpath/programs/layout.ts';
import type { Netns } from '../../sys/netns.ts';
import { flowsNow, sightOf } from '../fastpath/read-fast-path.ts';
import { NamespaceReader } from '../host/namespace-reader.ts';
import type { CaptureLink } from './capture-links.ts';

/** undefined where nothing is left out. What cannot be read is not said: it is no part of the capture. */
export async function fastNote(netns: Netns, links: readonly CaptureLink[]): Promise<string | undefined> {
  try {
    await using reader = new NamespaceReader(netns);
    const all = await reader.links();
    const sight = await sightOf(reader, all);
    const flows = flowsNow(sight, () => true).filter(({ flow, generation, now }) => {
      const { sent, delivered } = isFast(flow, generation, now);
      return sent || delivered;
    });
    if (flows.length === 0) return undefined;
    const uplinks = new Set(flows.map(({ flow }) => flow.uplink));
    const hidden = links.filter(({ index }) => !uplinks.has(index)).map(({ name }) => name);
    if (hidden.length === 0) return undefined;
    return fastSentence(
      flows.length,
      hidden,
      all.filter(({ index }) => uplinks.has(index)).map(({ name }) => name),
    );
  } catch {
    return undefined;
  }
}

/** @param hidden captured links which are no uplinks */
export function fastSentence(flows: number, hidden: readonly string[], uplinks: readonly string[]): string {
  const take = flows === 1 ? 'takes' : 'take';
  return `${formatCount(flows, 'flow')} ${take} the fast path: of their packets ${hidden.join(', ')} show one each half second, and the host's end of a container's link what the container sends; all are on ${uplinks.join(', ')}, and in the container`;
}
