/**
 * The table of contents: every command of Tulle and where it lives. A command is loaded only when it is asked
 * for (src/console/program.ts says what its module looks like):
 *
 *     {
 *       name: 'status',
 *       group: 'This host:',
 *       summary: 'this host: lease, store, peers and firewall, with reasons',
 *       load: async () => (await import('./cli/status-command.ts')).statusCommand(),
 *     },
 */
import './sys/own-imports.ts';
import type { Offer } from './console/offers.ts';
import { outputWritten } from './console/output.ts';
import { buildProgram, type CommandEntry, endOnDefect, runProgram } from './console/program.ts';
import { exitProcess } from './sys/exit-process.ts';

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'up',
    group: 'This host:',
    summary: 'start this host: the first one of a network, or one that joins',
    load: async () => (await import('./up/command.ts')).upCommand(),
  },
  {
    name: 'agent',
    group: 'This host:',
    summary: 'the daemon of one host: lease, tunnels, subnet.env',
    load: async () => (await import('./agent/command.ts')).agentCommand(),
  },
  {
    name: 'status',
    group: 'This host:',
    summary: 'this host: lease, store, peers and firewall, with reasons',
    load: async () => {
      const { statusCommand } = await import('./cli/status-command.ts');
      // Loaded when a peer is asked: `tulle status` itself reads one document.
      return statusCommand(async (...peer) =>
        (await import('./inspect/check/command.ts')).checkPeerShortly(...peer),
      );
    },
  },
  {
    name: 'events',
    group: 'This host:',
    summary: 'events on this host, past and new',
    load: async () => (await import('./cli/events-command.ts')).eventsCommand(),
  },
  {
    name: 'check',
    group: 'This host:',
    summary: 'why packets do or do not arrive: probes, reads and watches, with remedies',
    load: async () => (await import('./inspect/check/command.ts')).checkCommand(),
  },
  {
    name: 'trace',
    group: 'This host:',
    summary: 'the journey of a packet over the hosts, and what breaks it',
    load: async () => (await import('./inspect/path/command.ts')).traceCommand(),
  },
  {
    name: 'capture',
    group: 'This host:',
    summary: 'frames that pass this host, decoded to both layers',
    load: async () => (await import('./inspect/capture/command.ts')).captureCommand(),
  },
  {
    name: 'report',
    group: 'This host:',
    summary: 'one file about this host for a bug report, without secrets',
    load: async () => (await import('./inspect/report/command.ts')).reportCommand(),
  },
  {
    name: 'names',
    group: 'This host:',
    summary: 'how containers of the cluster are called, by network',
    load: async () => (await import('./cli/names-command.ts')).namesCommand(),
  },
  {
    name: 'tunnel',
    group: 'This host:',
    summary: 'VXLAN links between two hosts, alone or attached to a bridge: add, list, delete',
    load: async () => {
      const [{ tunnelCommand }, { onceTunnels }] = await Promise.all([
        import('./cli/tunnel-command.ts'),
        import('./host/tunnel-once.ts'),
      ]);
      return tunnelCommand(onceTunnels);
    },
  },
  {
    name: 'ports',
    group: 'This host:',
    summary: 'ports of this host that lead to containers',
    load: async () => (await import('./cli/ports-command.ts')).portsCommand(),
  },
  {
    name: 'forwarder',
    group: 'This host:',
    summary: 'move packets in user space; the agent starts it',
    load: async () => (await import('./forwarder/command.ts')).forwarderCommand(),
  },
  {
    name: 'inspector',
    group: 'This host:',
    summary: 'answer the questions of a check about this host; the agent starts it',
    isHidden: true,
    load: async () => (await import('./inspect/inspector/command.ts')).inspectorCommand(),
  },
  {
    name: 'docker',
    group: 'This host:',
    summary: "Docker's default bridge on the subnet of this host: configure",
    load: async () => (await import('./host/docker/configure-command.ts')).dockerCommand(),
  },
  {
    name: 'install',
    group: 'This host:',
    summary: 'run a daemon as a systemd service',
    load: async () => (await import('./host/install-command.ts')).installCommand(),
  },
  {
    name: 'uninstall',
    group: 'This host:',
    summary: 'stop the daemons and remove their services',
    load: async () => (await import('./host/install-command.ts')).uninstallCommand(),
  },
  {
    name: 'cleanup',
    group: 'This host:',
    summary: 'remove every trace of Tulle and flannel from this host',
    load: async () => (await import('./host/cleanup-command.ts')).cleanupCommand(),
  },
  {
    name: 'config',
    group: 'The network:',
    summary: 'the configuration of the network: get, set, validate',
    load: async () => (await import('./cluster/config-command.ts')).configCommand(),
  },
  {
    name: 'lease',
    group: 'The network:',
    summary: 'subnets and their hosts: list, show, reserve, release, watch',
    load: async () => (await import('./cluster/lease-command.ts')).leaseCommand(),
  },
  {
    name: 'network',
    group: 'The network:',
    summary: 'Ethernet networks over all hosts: create, list, inspect, connect, disconnect, delete, release',
    load: async () => (await import('./cluster/network-command.ts')).networkCommand(),
  },
  {
    name: 'store',
    group: 'The network:',
    summary: 'an etcd-compatible store for one machine',
    load: async () => {
      const [{ storeCommand }, { storeTrust }] = await Promise.all([
        import('./etcdserver/command.ts'),
        import('./trust/command.ts'),
      ]);
      return storeCommand(storeTrust());
    },
  },
  {
    name: 'lab',
    group: 'Try and measure:',
    summary: 'several hosts on this machine, made of network namespaces',
    load: async () => (await import('./lab/command.ts')).labCommand(),
  },
  {
    name: 'bench',
    group: 'Try and measure:',
    summary: 'compare Tulle with flannel, etcd and iproute2',
    load: async () => (await import('./bench/command.ts')).benchCommand(),
  },
  {
    name: 'version',
    group: 'This program:',
    summary: 'print the version',
    load: async () => (await import('./console/version-command.ts')).versionCommand(),
  },
  {
    name: 'completion',
    group: 'This program:',
    summary: 'print the completion script for bash, zsh or fish',
    load: async () =>
      (await import('./console/completion-command.ts')).completionCommand(
        () => buildProgram(COMMANDS, () => true),
        namesNow,
      ),
  },
];

/** Names that completion offers and that change: none of them is in the script. */
async function namesNow(offer: Offer): Promise<readonly string[]> {
  if (offer === 'hosts') return (await import('./cli/agent-option.ts')).knownHosts();
  if (offer === 'networks') return (await import('./cluster/store-options.ts')).knownNetworks();
  const [{ brokenIn, targetsIn }, { runningLabs }] = await Promise.all([
    import('./lab/record/find.ts'),
    import('./lab/record/record.ts'),
  ]);
  const labs = runningLabs();
  if (offer === 'labs') return labs.map(({ name }) => name);
  if (offer === 'lab-targets') return labs.flatMap(targetsIn);
  if (offer === 'lab-breakable') {
    const { FAULTS } = await import('./lab/faults/catalogue.ts');
    return [...labs.flatMap(targetsIn), ...FAULTS.map(({ name }) => name)];
  }
  if (offer === 'lab-broken') return labs.flatMap(brokenIn);
  return labs.flatMap(({ hosts }) => hosts.map(({ name }) => name));
}

if (import.meta.main) {
  process.on('uncaughtException', endOnDefect);
  const status = await runProgram(COMMANDS, process.argv.slice(2));
  await outputWritten();
  exitProcess(status);
}
