/** What is held back or dropped at the link inside a container: queues, filters of traffic control, programs of others. */
import { linkPrograms } from '../fastpath/link-programs.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import type { Cause } from './check.ts';
import { filterCauses, filtersOf, programCauses, queueCauses, tcxCauses } from './limits.ts';

export async function checkContainerQueues(host: HostReader): Promise<Cause[]> {
  const { members } = await host.members();
  return (await Promise.all(members.map(causesIn))).flat();
}

async function causesIn({ container: { name, inside }, inner }: Member): Promise<Cause[]> {
  const qdiscs = await inside.qdiscs();
  const own = qdiscs.filter(({ index }) => index === inner.index);
  const [programs, filters] = await Promise.all([
    linkPrograms(inside, [inner]),
    filtersOf(inside, inner, own),
  ]);
  const causes = [
    ...queueCauses(inner, own),
    ...filterCauses(inner, filters),
    ...tcxCauses(
      inner,
      programs.filter(({ by }) => by === 'tcx'),
    ),
    ...programCauses(inner),
  ];
  return causes.map(cause => ({
    ...cause,
    layer: 'container',
    reason: `in the container ${name}: ${cause.reason}`,
    remedy: `in the container ${name}: ${cause.remedy}`,
  }));
}
