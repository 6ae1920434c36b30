/** `tulle bench`: measurements, each against what a user would pick instead, in the same run. */
import { Command } from 'commander';
import { withExamples } from '../console/help.ts';
import { convergeCommand } from './converge/command.ts';
import { datapathCommand } from './datapath/command.ts';
import { dnsCommand } from './dns/command.ts';
import { hostileCommand } from './hostile/command.ts';
import { joinCommand } from './join/command.ts';
import { meshCommand } from './mesh/command.ts';
import { programCommand } from './program/command.ts';
import { storeBenchCommand } from './store/command.ts';

export function benchCommand(): Command {
  const command = new Command('bench')
    .description(
      'Compare parts of Tulle with flannel, etcd and iproute2, in one run on this machine. ' +
        'Absolute numbers depend on the machine; compare the ratios.',
    )
    .addCommand(programCommand())
    .addCommand(convergeCommand())
    .addCommand(datapathCommand())
    .addCommand(joinCommand())
    .addCommand(meshCommand())
    .addCommand(dnsCommand())
    .addCommand(storeBenchCommand())
    .addCommand(hostileCommand());
  return withExamples(command, [
    {
      line: 'bench program --peers 1000,5000',
      does: 'program peers into the kernel: Tulle, flannel, iproute2',
    },
    { line: 'bench converge', does: 'from a lease in the store to a route in every kernel' },
    { line: 'bench store', does: '`tulle store` and etcd: puts, ranges, watches, memory' },
    { line: 'bench datapath', does: 'container to container: Tulle, host to host, Docker' },
    { line: 'bench hostile', does: 'what a hostile client of the store costs the others' },
    { line: 'bench join --agents 200', does: 'hosts that start at once, and lease a subnet each' },
    { line: 'bench dns', does: 'names of containers: the resolver, and dnsmasq' },
    { line: 'bench mesh', does: 'hosts that ask each other, one of which dies' },
  ]);
}
