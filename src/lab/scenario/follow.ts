/** Following a packet while a command is typed: the trace of nftables on one host of the stage. */
import type { PacketSelector } from '../../inspect/trace/packet.ts';
import { traceLines } from '../../inspect/trace/text.ts';
import { tracePacket } from '../../inspect/trace/trace-packet.ts';
import { Netns } from '../../sys/netns.ts';
import { LabError } from '../errors.ts';
import type { Stage } from './scenario.ts';

export interface FollowedPacket {
  /** Name of the host whose rules it meets. */
  readonly on: string;
  readonly packet: PacketSelector;
  /** The command that sends it, and where it is typed. It may fail: that the packet is seen is what counts. */
  readonly sentBy: { readonly on: string; readonly line: string };
}

/**
 * The trace in words (`traceLines`).
 *
 * @throws LabError START_FAILED when no such packet is seen; TraceError; `signal.reason`
 */
export async function followPacket(stage: Stage, { on, packet, sentBy }: FollowedPacket): Promise<string> {
  const host = stage.host(on);
  using netns = Netns.open(host.netnsFile);
  const trace = await tracePacket({
    netns,
    run: (program, args) => host.run(program, args, { anyStatus: true, signal: stage.signal }),
    packet,
    send: () => stage.type(sentBy.on, sentBy.line),
    signal: stage.signal,
  });
  if (trace === undefined)
    throw new LabError('START_FAILED', `no packet of \`${sentBy.line}\` was seen on ${on}`);
  // On some hosts `iptables` is iptables-legacy: to who types it, it is the same.
  return traceLines(trace)
    .map(line => line.replace(/^ {2}legacy /, '  '))
    .join('\n');
}
