/** Reads capture files with tshark, which `npm test` installs. */
import process from 'node:process';
import { FLANNEL_PORTS } from '../../src/inspect/decode/decode-frame.ts';
import { run } from '../../src/sys/process.ts';
import { requires } from './capabilities.ts';

/** Options for `test`. */
export const needsTshark = requires(
  process.getuid?.() === 0 &&
    (await run('tshark', ['--version']).then(
      () => true,
      () => false,
    )),
  'needs root and tshark (apt-get install tshark)',
);

/** Each frame as if there were no other, and numbers as they are in it. */
const SETTINGS = [
  'ip.defragment:FALSE',
  'ipv6.defragment:FALSE',
  'ip.check_checksum:FALSE',
  'tcp.check_checksum:FALSE',
  'udp.check_checksum:FALSE',
  'tcp.desegment_tcp_streams:FALSE',
  'tcp.analyze_sequence_numbers:FALSE',
  'tcp.relative_sequence_numbers:FALSE',
];

/** Without names of addresses; of a field that a frame has more than once, every value. */
const READ = ['-n', '-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=,', '-r'];

/**
 * @param names of fields
 * @param vxlanPorts UDP ports whose datagrams carry VXLAN
 * @returns of each frame the fields that it has, with commas between the values of one
 */
export async function dissect(
  file: string,
  names: readonly string[],
  vxlanPorts: readonly number[],
): Promise<ReadonlyMap<string, string>[]> {
  const { stdout } = await run('tshark', [
    ...READ,
    file,
    ...vxlanPorts.flatMap(port => ['-d', `udp.port==${port},vxlan`]),
    ...FLANNEL_PORTS.flatMap(port => ['-d', `udp.port==${port},ip`]),
    ...SETTINGS.flatMap(setting => ['-o', setting]),
    ...names.flatMap(name => ['-e', name]),
  ]);
  const rows = stdout.split('\n').slice(0, -1);
  return rows.map(row => {
    const cells = row.split('\t').map((cell, at) => [names[at] ?? '', cell] as const);
    return new Map(cells.filter(([, cell]) => cell !== ''));
  });
}
