/**
 * What a check asks of a host: the one it runs on (local-inspector.ts), and others through their agents. Both look alike
 * to what asks.
 */
import type { Flow, InspectionReport, Observation } from '../../api/inspection.ts';
import type { EchoPlace } from '../../api/inspection-lines.ts';
import type { Walk, WalkReport } from '../../api/walk.ts';

export interface Inspector {
  /** Name of the host, as in its findings. */
  readonly host: string;

  /** Reads what is there; sends nothing. @throws TulleError when the host cannot be asked; `signal.reason` */
  look(signal: AbortSignal): Promise<InspectionReport>;

  /**
   * Resolves when all of the host that can be watched is watched; what cannot is said in `blind`.
   *
   * @throws ParseError for a flow that no packet can belong to; TulleError when the host cannot be asked; `signal.reason`
   */
  observe(flow: Flow, signal: AbortSignal): Promise<OngoingObservation>;

  /** The way of a packet over this host by its entries; sends nothing. @throws TulleError when the host cannot be asked; `signal.reason` */
  walk(walk: Walk, signal: AbortSignal): Promise<WalkReport>;

  /**
   * Sends back small datagrams that one address sends to a container of the host.
   *
   * @throws ParseError when no container has the address; TulleError when the host cannot be asked; `signal.reason`
   */
  echo(place: EchoPlace, signal: AbortSignal): Promise<OngoingEcho>;
}

/** Ends by itself after LONGEST_OBSERVATION ms. */
export interface OngoingEcho extends AsyncDisposable {
  /** Of the container, UDP. */
  readonly port: number;
}

/** Ends by itself after LONGEST_OBSERVATION ms; what was seen until then can still be had. */
export interface OngoingObservation extends AsyncDisposable {
  /** Stops to watch, and says what was seen. @throws TulleError when the host cannot be asked any more */
  finish(): Promise<Observation>;
}
