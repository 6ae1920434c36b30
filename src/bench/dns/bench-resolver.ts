/** The program of `bench dns` that answers as an agent does: the same parts, with names that are made up. */
import process from 'node:process';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { DnsListener } from '../../dns/dns-listener.ts';
import { Responder } from '../../dns/responder.ts';
import { Upstream } from '../../dns/upstream.ts';
import { NameTable } from '../../subnet/names/name-table.ts';

const BENCH_NETWORK_NAME = 'blue';
const BLOCK = Prefix.parse('10.9.0.0/16');

/** What the container with this number is called, and its address. */
export const benchName = (number: number) => `c${number}`;
export const benchAddress = (number: number) => BLOCK.ip.plus(number + 1024);

async function serve(link: string, ip: string, names: number): Promise<void> {
  const table = new NameTable();
  for (let number = 0; number < names; number++) {
    const named = { network: BENCH_NETWORK_NAME, ip: benchAddress(number), hostId: `host-${number % 20}` };
    table.add({ ...named, names: [benchName(number), `alias${number % 500}`] });
  }
  const responder = new Responder({
    names: table,
    networks: () => [{ name: BENCH_NETWORK_NAME, networks: { ipv4: BLOCK } }],
    networksOf: () => [],
    upstream: new Upstream({ servers: () => [] }),
  });
  await DnsListener.open({ link, ip: Ip.parse(ip), isAsker: asker => BLOCK.contains(asker), responder });
  process.stdout.write('ready\n');
}

if (import.meta.main) {
  const [link = '', ip = '', names = ''] = process.argv.slice(2);
  await serve(link, ip, Number(names));
}
