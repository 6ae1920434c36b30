/** The thread of the packet path. It blocks in poll(2), so orders are fetched, not awaited. */

import { once } from 'node:events';
import { readSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Counters } from './counters.ts';
import { DataPath } from './data-path.ts';
import type { DataPathNotice, DataPathOrder, DataPathSetup } from './data-path-messages.ts';
import { plainEngine } from './engine.ts';
import { Routes } from './routes.ts';

const setup = workerData as DataPathSetup;
const counters = new Counters(0, setup.counters);
const applied = new Int32Array(setup.applied);
const wakeBytes = new Uint8Array(4096);

notify({ is: 'loaded' });
const [first] = (await once(setup.orders, 'message')) as [DataPathOrder];
if (first.do === 'forward') {
  const routes = new Routes(first.table, setup.mtu);
  const path = new DataPath(first.descriptors, plainEngine, routes, counters);
  path.run(() => {
    readSync(first.descriptors.wake, wakeBytes);
    return carryOut(path);
  });
}
notify({ is: 'stopped' });
setup.orders.close();

/** Carries out what has been ordered; false when that is to stop. */
function carryOut(path: DataPath): boolean {
  for (;;) {
    const received = receiveMessageOnPort(setup.orders);
    if (received === undefined) return true;
    const order = received.message as DataPathOrder;
    if (order.do === 'stop') return false;
    if (order.do === 'forward') continue;
    if (order.do === 'route') path.routes = new Routes(order.table, setup.mtu);
    Atomics.store(applied, 0, order.number);
    Atomics.notify(applied, 0);
  }
}

function notify(notice: DataPathNotice): void {
  parentPort?.postMessage(notice);
}
