/** `tulle bench`: measurements, each against what a user would pick instead, in the same run. */
import { Command } from 'commander';
import { withExamples } from '../console/help.ts';
import { convergeCommand } from './converge-command.ts';
import { hostileCommand } from './hostile-command.ts';
import { joinCommand } from './join-command.ts';
import { programCommand } from './program-command.ts';
import { storeBenchCommand } from './store-command.ts';

export function benchCommand(): Command {
  const command = new Command('bench')
    .description(
      'Measure the parts of Tulle against what one would use instead, in one run on this machine.\n' +
        'Absolute numbers are those of the machine; the ratios are what to look at.',
    )
    .addCommand(programCommand())
    .addCommand(convergeCommand())
    .addCommand(joinCommand())
    .addCommand(storeBenchCommand())
    .addCommand(hostileCommand());
  return withExamples(command, [
    { line: 'bench program --peers 1000,5000', does: 'peers into the kernel: ours, flannel, iproute2' },
    { line: 'bench converge', does: 'from a lease in the store to a route in every kernel' },
    { line: 'bench store', does: 'our store and etcd: puts, ranges, watches, memory' },
    { line: 'bench hostile', does: 'what a hostile client of the store costs the others' },
    { line: 'bench join --agents 200', does: 'hosts that start at once, each to a subnet of its own' },
  ]);
}
