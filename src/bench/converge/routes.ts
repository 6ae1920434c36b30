/** Watching a kernel get its routes to the peers. */
import type { Prefix } from '../../base/prefix.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';

/** Resolves when the namespace has `wanted` routes of this routing protocol. @throws `signal.reason` */
export async function untilRoutes(
  rtnetlink: Rtnetlink,
  protocol: number,
  wanted: number,
  signal: AbortSignal,
): Promise<void> {
  const enough = new AbortController();
  // Watching begins before the first count, so that nothing falls in between.
  const events = rtnetlink.watch(['route'], AbortSignal.any([signal, enough.signal]));
  const count = async () => (await rtnetlink.routes.list({ protocol })).length;
  let found = await count();
  if (found >= wanted) enough.abort();
  for await (const event of events) {
    if (event.type === 'overrun') found = await count();
    else if (event.type === 'route' && event.route.protocol === protocol) found += event.gone ? -1 : 1;
    if (found >= wanted) return enough.abort();
  }
  if (!enough.signal.aborted) signal.throwIfAborted();
}

/** Reports every route of this routing protocol that the kernel announces, until `signal` aborts. */
export async function followRoutes(
  rtnetlink: Rtnetlink,
  protocol: number,
  onRoute: (destination: Prefix) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of rtnetlink.watch(['route'], signal)) {
    // It would look like a route that never came.
    if (event.type === 'overrun') throw new Error('kernel notifications were lost');
    if (event.type !== 'route' || event.gone || event.route.protocol !== protocol) continue;
    if (event.route.destination !== undefined) onRoute(event.route.destination);
  }
}
