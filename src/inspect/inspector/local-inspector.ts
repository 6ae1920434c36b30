/** Asks the host that this process runs on, with its agent alive or dead. */
import { hostname } from 'node:os';
import type { Flow, InspectionReport } from '../../api/inspection.ts';
import type { EchoPlace } from '../../api/inspection-lines.ts';
import type { Walk, WalkReport } from '../../api/walk.ts';
import { untilAborted } from '../../base/abort.ts';
import { ParseError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { lookAt } from '../checks/look.ts';
import { type HostOptions, HostReader } from '../host/host-reader.ts';
import { observeFlow } from '../observe/observe-flow.ts';
import { walkHost } from '../path/walk-host.ts';
import type { Inspector, OngoingEcho, OngoingObservation } from './inspector.ts';
import { UdpEcho } from './udp-echo.ts';

export class LocalInspector implements Inspector {
  /** As the agent calls it, which need not be asked for that: it may hang. */
  readonly host = hostname();
  readonly #options: HostOptions;

  constructor(options: HostOptions = {}) {
    this.#options = options;
  }

  /** Anew each time: a reader remembers what it has read. */
  async look(signal: AbortSignal): Promise<InspectionReport> {
    await using host = HostReader.open(this.#options);
    return await lookAt(host, signal);
  }

  async observe(flow: Flow, signal: AbortSignal): Promise<OngoingObservation> {
    await using parts = new AsyncDisposableStack();
    const host = parts.use(HostReader.open(this.#options));
    const observation = parts.use(await observeFlow(host, flow, signal));
    const all = parts.move();
    return {
      finish: () => observation.finish(),
      [Symbol.asyncDispose]: () => all.disposeAsync(),
    };
  }

  async echo({ address, from }: EchoPlace, signal: AbortSignal): Promise<OngoingEcho> {
    await using host = HostReader.open(this.#options);
    signal.throwIfAborted();
    const wanted = Ip.parse(address);
    for (const { inside } of await host.containers()) {
      const addresses = await inside.addresses().catch(() => []);
      if (addresses.some(({ ip }) => ip.equals(wanted)))
        return UdpEcho.open(inside.netns, { address: wanted, from: Ip.parse(from) });
    }
    throw new ParseError('the address of a container', address, 'no container of this host has it');
  }

  async walk(walk: Walk, signal: AbortSignal): Promise<WalkReport> {
    await using host = HostReader.open(this.#options);
    return await untilAborted(walkHost(host, walk), signal);
  }
}
