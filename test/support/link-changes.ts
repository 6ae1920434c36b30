/** How far another program has come, by what the kernel announces of links: the same moment on a fast and on a slow machine. */
import type { LabHost } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { deadline } from './eventually.ts';

/**
 * Begins `act`, and returns when links of the host have changed so many times since, or `act` has ended with fewer changes.
 * What it becomes is in `running`, since a promise of a promise would wait for it.
 */
export async function begun<T>(
  host: LabHost,
  changes: number,
  act: () => Promise<T>,
): Promise<{ readonly running: Promise<T> }> {
  using netns = Netns.open(host.netnsFile);
  await using route = connectRoute({ netns });
  const late = deadline(`${changes} changes of links on ${host.name}`);
  const stop = new AbortController();
  const events = route.watch(['link'], AbortSignal.any([stop.signal, late]));
  const running = act();
  const end = () => stop.abort();
  running.then(end, end);
  let left = changes;
  for await (const { type } of events) {
    if (type === 'link') left--;
    if (left <= 0) break;
  }
  late.throwIfAborted();
  return { running };
}
