/** The status of this host's lease for the rest of the agent: the state, why it has none, and events. */
import type { Clock } from '../../base/clock.ts';
import { Watchable } from '../../base/watchable.ts';
import type { StoreError } from '../../store/store.ts';
import type { Lease } from '../lease/lease.ts';
import {
  failureByStore,
  type HolderEvent,
  type HolderState,
  type LeaseFailure,
  type OtherWriter,
} from './holder-state.ts';
import type { Renewal } from './renewal.ts';

/** What the holder knows at this moment. */
export interface LeaseFacts {
  readonly lease: Lease;
  /** Whether the store has confirmed it for the configuration in use. */
  readonly confirmed: boolean;
  /** Whether it says what peers should know of this host now. */
  readonly published: boolean;
}

export interface LeaseStatusOptions {
  readonly look: () => LeaseFacts | undefined;
  readonly otherWriter: () => OtherWriter | undefined;
  readonly renewal: Renewal;
  readonly clock: Clock;
  readonly report: (event: HolderEvent) => void;
}

export class LeaseStatus {
  readonly state: Watchable<HolderState>;
  readonly #options: LeaseStatusOptions;
  #failure: LeaseFailure | undefined;
  #failing = false;

  constructor(options: LeaseStatusOptions) {
    this.#options = options;
    this.state = new Watchable(this.#describe());
  }

  /** Sets the state, then reports what happened, so that the reader of an event finds it in the state. */
  report(event: HolderEvent, failure?: LeaseFailure): void {
    if (failure !== undefined) this.#failure = failure;
    this.refresh();
    this.#options.report(event);
  }

  refresh(): void {
    if (this.#options.look() !== undefined && !this.#failing) this.#failure = undefined;
    this.state.set(this.#describe());
  }

  /** The store did not do what it was asked for. */
  failed(error: StoreError): void {
    const { report } = this.#options;
    const wasFailing = this.#failing;
    const { ownership: before } = this.state.value;
    this.#failure = failureByStore(error);
    this.#failing = true;
    this.refresh();
    if (!wasFailing) report({ type: 'store-failed', error });
    const { lease, ownership } = this.state.value;
    if (lease !== undefined && before === 'held' && ownership === 'unconfirmed') {
      report({ type: 'unconfirmed', lease });
    }
  }

  /** The store did what it was asked for. */
  succeeded(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.report({ type: 'store-recovered' });
  }

  #describe(): HolderState {
    const { look, renewal, clock } = this.#options;
    const facts = look();
    const otherWriter = this.#options.otherWriter();
    const { deadline } = renewal;
    const late = deadline !== undefined && clock.monotonic() >= deadline;
    return {
      ...(facts && {
        lease: facts.lease,
        ownership: facts.confirmed && !late ? 'held' : 'unconfirmed',
        published: facts.published,
      }),
      ...(otherWriter && { otherWriter }),
      ...(deadline !== undefined && { deadline }),
      ...(this.#failure && { failure: this.#failure }),
    };
  }
}
