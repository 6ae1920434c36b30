/**
 * A container that is being started has a link before it is up, and is up before it has an address. What looks unfinished
 * is read again a moment later, so that no start is taken for a fault.
 */
import { systemClock } from '../../base/clock.ts';
import type { Member } from '../host/members.ts';
import { NamespaceReader } from '../host/namespace-reader.ts';

/** Milliseconds; Docker needs some 50 between the link and the address. */
const MOMENT = 300;

/** Those of the containers whose link is as it was: down, or up without an address. */
export async function stillUnfinished(
  members: readonly Member[],
  pause: () => Promise<unknown> = () => systemClock.sleep(MOMENT),
): Promise<ReadonlySet<Member>> {
  const suspects = members.filter(({ inner, addresses }) => !inner.up || addresses.length === 0);
  if (suspects.length === 0) return new Set();
  await pause();
  const still = await Promise.all(suspects.map(async member => ((await isStill(member)) ? [member] : [])));
  return new Set(still.flat());
}

async function isStill({ container, inner, addresses }: Member): Promise<boolean> {
  await using inside = new NamespaceReader(container.inside.netns);
  const [links, all] = await Promise.all([inside.links(), inside.addresses()]);
  const link = links.find(({ index }) => index === inner.index);
  const hasAddress = all.some(({ index, scope }) => index === inner.index && scope === 0);
  return link !== undefined && link.up === inner.up && hasAddress === addresses.length > 0;
}
