/** What who states one network holds of the data plane. */
import type { NetworkScope } from './data-plane.ts';
import type { Desired, DesiredHost, DesiredPeer } from './desired.ts';
import type { DesiredNetwork } from './reconcile/networks.ts';
import type { HostState } from './reconcile/state.ts';
import type { NetworkReport, PeerReport } from './report.ts';

export class HostNetworkScope implements NetworkScope {
  readonly #state: HostState;
  readonly #network: DesiredNetwork;
  readonly #onRemove: () => void;
  #isRemoved = false;

  constructor(state: HostState, network: DesiredNetwork, onRemove: () => void) {
    this.#state = state;
    this.#network = network;
    this.#onRemove = onRemove;
  }

  get name(): string {
    return this.#network.name;
  }

  set({ host, peers }: Desired): void {
    this.setHost(host);
    this.setPeers(peers);
  }

  setHost(host: DesiredHost): void {
    this.#state.setHost(this.#inUse, host);
  }

  setPeers(peers: Iterable<DesiredPeer>): void {
    this.#state.setPeers(this.#inUse, peers);
  }

  setPeer(peer: DesiredPeer): void {
    this.#state.setPeer(this.#inUse, peer);
  }

  removePeer(key: string): void {
    this.#state.removePeer(this.#inUse, key);
  }

  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    this.#state.removeNetwork(this.#network);
    this.#onRemove();
  }

  report(): NetworkReport {
    return this.#state.report.networkReport(this.#network);
  }

  peerReport(key: string): PeerReport | undefined {
    return this.#state.report.peerReport(this.#network, key);
  }

  get #inUse(): DesiredNetwork {
    if (this.#isRemoved) throw new RangeError(`network ${this.name} was removed from the data plane`);
    return this.#network;
  }
}
