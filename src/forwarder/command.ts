/** `tulle forwarder`: the command line of the process that moves packets in user space. */
import { flushCompileCache } from 'node:module';
import { Command, Option } from 'commander';
import { ConfigError, ParseError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { withExamples } from '../console/help.ts';
import type { LogFormat } from '../console/log-format.ts';
import { integer, logFormatOption, repeated, value, wholeNumber } from '../console/options.ts';
import { requireNetworkAdmin } from '../console/require-root.ts';
import { STOP_PATIENCE, untilStopped } from '../console/signals.ts';
import { LARGEST_ROUTE_MTU, LEAST_ROUTE_MTU } from './control/messages.ts';
import type { ForwarderAddress } from './run-forwarder.ts';

/** Control socket of a forwarder, unless given. */
const DEFAULT_CONTROL = '/run/tulle/forwarder.sock';
/** flannel's udp backend. */
const DEFAULT_DEVICE = 'flannel0';
const DEFAULT_PORT = 8285;

interface Options {
  readonly device: string;
  readonly listen?: readonly ForwarderAddress[];
  readonly mtu: number;
  readonly control: string;
  readonly logFormat: LogFormat;
}

export function forwarderCommand(): Command {
  const command = new Command('forwarder')
    .description(
      "Move packets between a TUN device and peers in UDP datagrams, as flannel's udp backend does. The agent starts " +
        'and controls it. It continues when the agent ends; one that is started on the same control socket takes ' +
        'over the device, the sockets and the routes of one that runs.',
    )
    .addOption(
      new Option('--device <name>', 'the TUN device; made when there is none, and left in place at the end')
        .default(DEFAULT_DEVICE)
        .argParser(value(deviceName)),
    )
    .addOption(
      new Option(
        '--listen <address>',
        `address of this host in the underlay, with :port unless that is ${DEFAULT_PORT}; again for the other family`,
      ).argParser(repeated(value(listenAddress))),
    )
    .addOption(
      new Option('--mtu <bytes>', 'longest packet that fits to a peer, unless its route says otherwise')
        .default(1472)
        .argParser(integer(LEAST_ROUTE_MTU, LARGEST_ROUTE_MTU)),
    )
    .addOption(
      new Option(
        '--control <path>',
        'unix socket that takes routes and gives counters, as lines of JSON',
      ).default(DEFAULT_CONTROL),
    )
    .addOption(logFormatOption())
    .action(runCommand)
    .addHelpText(
      'after',
      `
Signals:
  SIGTERM, SIGINT  stop; the device, its addresses and its routes stay`,
    );
  return withExamples(command, [
    { line: 'forwarder --listen 192.168.65.3', does: "on flannel's device and port, without a route yet" },
    {
      line: 'forwarder --listen 192.168.65.3:8285 --listen [fd00:65::3]:8285 --mtu 1452',
      does: 'with peers of both families',
    },
  ]);
}

async function runCommand({ device, listen = [], mtu, control, logFormat }: Options): Promise<void> {
  const problem = wrongListen(listen);
  if (problem !== undefined) throw new ConfigError('command line', [{ path: '--listen', message: problem }]);
  requireNetworkAdmin('the forwarder opens a TUN device');
  // Loaded only now: help and a wrong flag should answer at once. The thread loads its program while this one does, for
  // packets wait when the forwarder before was killed.
  const { DataPathThread } = await import('./path/data-path-thread.ts');
  const starting = DataPathThread.start(mtu);
  const { openLog } = await import('../console/daemon-log.ts');
  const { runForwarder } = await import('./run-forwarder.ts');
  const thread = await starting;
  const log = openLog(0, logFormat);
  // Node writes its compile cache at exit, which a daemon may never reach in good order.
  flushCompileCache();
  await untilStopped(signal => runForwarder({ device, listen, mtu, control }, thread, log, signal), {
    within: STOP_PATIENCE,
  });
}

function wrongListen(listen: readonly ForwarderAddress[]): string | undefined {
  if (listen.length === 0) return 'want an address of this host: --listen 192.0.2.1';
  const families = new Set(listen.map(({ ip }) => ip.family));
  return families.size === listen.length ? undefined : 'want one address of each family at most';
}

/** As the kernel wants it (dev_valid_name in net/core/dev.c). */
function deviceName(text: string): string {
  if (/^[^\s/:%]{1,15}$/.test(text) && text !== '.' && text !== '..') return text;
  throw new ParseError('a name of a device', text, 'want 1 to 15 characters without white space, /, : and %');
}

/** `192.0.2.1`, `192.0.2.1:8285`, `2001:db8::1`, `[2001:db8::1]:8285`. */
function listenAddress(text: string): ForwarderAddress {
  const whole = Ip.tryParse(text);
  if (whole !== undefined) return { ip: whole, port: DEFAULT_PORT };
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  const ip = Ip.tryParse(bracketed ?? plain ?? '');
  if (ip === undefined || (bracketed !== undefined) !== (ip.family === 'ipv6'))
    throw new ParseError(
      'an address to listen on',
      text,
      'want 192.0.2.1:8285, 2001:db8::1 or [2001:db8::1]:8285',
    );
  return { ip, port: wholeNumber(1, 65_535, 'a port')(digits) };
}
