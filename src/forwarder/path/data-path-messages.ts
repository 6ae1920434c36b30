/** What the thread of the packet path and the one that starts it say to each other. */
import type { MessagePort } from 'node:worker_threads';
import type { DataPathDescriptors } from './data-path.ts';
import type { RouteTableData } from './routes.ts';

/** Handed over when the thread is started. */
export interface DataPathSetup {
  /** Orders arrive here; a byte in the wake pipe says so. */
  readonly orders: MessagePort;
  readonly counters: SharedArrayBuffer;
  /** One 32-bit number: of the last order that was carried out. */
  readonly applied: SharedArrayBuffer;
  /** Length of packets that fit, unless a route says otherwise. */
  readonly mtu: number;
}

export type DataPathOrder =
  | { readonly do: 'forward'; readonly descriptors: DataPathDescriptors; readonly table: RouteTableData }
  | { readonly do: 'route'; readonly number: number; readonly table: RouteTableData }
  /** Nothing but to show that orders are carried out. */
  | { readonly do: 'check'; readonly number: number }
  | { readonly do: 'stop' };

export type DataPathNotice =
  /** The program is loaded: orders are obeyed at once. */
  | { readonly is: 'loaded' }
  /** What had come in has been delivered, and the descriptors are used no more. */
  | { readonly is: 'stopped' };
