/** A process that has the fast path of a host, until it is killed: node fast-path-process.ts MECHANISM LINKS. */
import type { Mechanism } from '../../src/fastpath/mechanism.ts';
import { openFastPathAt, type TunnelHost } from './fast-path-hosts.ts';

const [mechanism, links = ''] = process.argv.slice(2);
await openFastPathAt(JSON.parse(links) as TunnelHost['links'], {
  mechanism: mechanism as Mechanism['name'],
});
process.stdout.write('attached\n');
setInterval(() => undefined, 60_000);
