import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import type { Notification, ServiceManager } from '../../sys/notify.ts';
import { ManualClock, settle } from '../../testing/manual-clock.ts';
import { EventLog } from '../health/event-log.ts';
import { Health } from '../health/health.ts';
import { informServiceManager } from './service-manager.ts';

test('ready is sent once, every change of state as a line, and the end', async () => {
  const clock = new ManualClock();
  const health = new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
  const sent: Notification[] = [];
  const manager = {
    watchdogTimeout: undefined,
    notify: (notification: Notification) => sent.push(notification) > 0,
  } as Partial<ServiceManager> as ServiceManager;
  const stop = new AbortController();
  const informing = informServiceManager(manager, health, clock, stop.signal);
  await settle();
  for (const { name } of health.conditions()) health.report(name);
  await settle();
  health.report('lease', { code: 'LEASE_LOST', reason: 'expired' });
  await settle();
  health.report('lease');
  await settle();
  stop.abort();
  await informing;
  assert.deepEqual(sent, [
    { status: 'starting: not checked yet' },
    { status: 'ready', ready: true },
    { status: 'waiting: expired' },
    { status: 'ready' },
    { stopping: true, status: 'stopping' },
  ]);
});

test('signs of life come twice as often as the manager wants them', async () => {
  const clock = new ManualClock();
  const health = new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
  const stop = new AbortController();
  const signs: number[] = [];
  const manager = {
    watchdogTimeout: 10_000,
    notify: ({ watchdog }: Notification) => watchdog === true && signs.push(clock.monotonic()) > 0,
  } as Partial<ServiceManager> as ServiceManager;
  const informing = informServiceManager(manager, health, clock, stop.signal);
  await clock.advance(12_000);
  stop.abort();
  await informing;
  assert.deepEqual(signs, [0, 5_000, 10_000]);
});
