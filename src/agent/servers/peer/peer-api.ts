/** The answers to other hosts over time: at the addresses of the underlay, wherever they move to. */
import type { CredentialReader } from '../../../api/peer/credentials.ts';
import type { KnownPeer } from '../../../api/peer/peers.ts';
import type { PeerApiStatus, Status } from '../../../api/status.ts';
import { aborted } from '../../../base/abort.ts';
import { backoff, type Clock } from '../../../base/clock.ts';
import { messageOf } from '../../../base/errors.ts';
import type { Ip } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import { valuesOf } from '../../../base/per-family.ts';
import type { Watchable } from '../../../base/watchable.ts';
import type { HostPlan } from '../../../network/host-plan.ts';
import type { EventLog } from '../../health/event-log.ts';
import type { Health } from '../../health/health.ts';
import type { PeerApiOptions } from '../../options/options.ts';
import type { InspectorProgram } from './inspector-process.ts';
import { Inspectors } from './inspectors.ts';
import { peerListener } from './peer-requests.ts';
import { PeerServer } from './peer-server.ts';

export interface PeerApiParts {
  readonly options: PeerApiOptions;
  readonly credentials: CredentialReader;
  readonly plan: Watchable<Pick<HostPlan, 'underlay'> | undefined>;
  readonly inspector: InspectorProgram;
  status(): Status | Promise<Status>;
  /** Those that this host reaches, as they are now. */
  peers(): readonly KnownPeer[];
  readonly health: Health;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds for which the addresses of peers are kept: strangers may ask often. */
const ADDRESSES_MS = 1000;

export class PeerApi {
  readonly #parts: PeerApiParts;
  #listening: readonly string[] = [];
  #reason: string | undefined = 'the underlay is not known yet';
  #addresses: { readonly of: Set<string>; readonly at: number } = { of: new Set(), at: -Infinity };

  constructor(parts: PeerApiParts) {
    this.#parts = parts;
  }

  get status(): PeerApiStatus {
    const { files } = this.#parts.options;
    return {
      listening: [...this.#listening],
      ...(this.#reason !== undefined && { reason: this.#reason }),
      files: { ...files },
    };
  }

  /** Answers until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    using inspectors = new Inspectors(this.#parts.inspector);
    let serving = Promise.resolve();
    let stop = new AbortController();
    let wanted = '';
    for await (const plan of this.#parts.plan.changes(signal)) {
      const addresses = this.#addressesIn(plan);
      if (addresses.length === 0 || addresses.join() === wanted) continue;
      wanted = addresses.join();
      stop.abort();
      await serving;
      stop = new AbortController();
      serving = this.#keepOpen(addresses, inspectors, AbortSignal.any([signal, stop.signal]));
    }
    await serving;
  }

  #addressesIn(plan: Pick<HostPlan, 'underlay'> | undefined): readonly Ip[] {
    const { address } = this.#parts.options;
    return address === undefined ? valuesOf(plan?.underlay.ip ?? {}) : [address];
  }

  async #keepOpen(addresses: readonly Ip[], inspectors: Inspectors, signal: AbortSignal): Promise<void> {
    const { options, health, clock, events } = this.#parts;
    const { port } = options;
    const where = addresses.map(address => socketText(address, port));
    const listener = peerListener({ ...this.#parts, inspectors });
    const isPeer = (address: string) => this.#isPeer(address);
    for (const delay of backoff(1000, 60_000)) {
      try {
        await using _server = await PeerServer.open(addresses, port, { ...this.#parts, listener, isPeer });
        this.#listening = where;
        this.#reason = undefined;
        health.warn('peer-api', []);
        events.add('info', 'peer-api', `other hosts may ask at ${where.join(' and ')}`, { listening: where });
        return await aborted(signal);
      } catch (error) {
        const text = messageOf(error);
        const title = `the peer API cannot listen at ${where.join(' and ')}`;
        health.warn('peer-api', [{ id: 'listen', code: 'CANNOT_LISTEN', severity: 'warning', title, text }]);
        this.#reason = `${title}: ${text}`;
        await clock.sleep(delay, signal).catch(() => undefined);
        if (signal.aborted) return;
      } finally {
        this.#listening = [];
      }
    }
  }

  #isPeer(address: string): boolean {
    const now = this.#parts.clock.monotonic();
    if (now - this.#addresses.at > ADDRESSES_MS) {
      const of = new Set(this.#parts.peers().flatMap(({ publicIp }) => valuesOf<string>(publicIp)));
      this.#addresses = { of, at: now };
    }
    return this.#addresses.of.has(address);
  }
}

const socketText = (ip: Ip, port: number) => (ip.family === 'ipv6' ? `[${ip}]:${port}` : `${ip}:${port}`);
