/**
 * How this host goes over from one plan to the next when their devices can stand side by side (a changed VNI):
 *
 *     preparing     the new device is made; peers do not know of it, and nothing depends on it
 *     handing over  the new plan is published and in use; the old device stays for the peers that have not followed
 *     (over)        every peer has followed: the old device goes
 */

import { canBeSideBySide, handingOver, ownLinks, preparing } from '../backend/handover.ts';
import { enumerate } from '../base/enumerate.ts';
import type { LinkReport } from '../dataplane/report.ts';
import type { Subnet } from '../subnet/lease/lease.ts';
import type { HostPlan, PlanRefusal } from './host-plan.ts';
import type { OwnedWarning } from './reports.ts';

export interface Handover {
  readonly from: HostPlan;
  readonly to: HostPlan;
  readonly step: 'preparing' | 'handing over';
  /** Names of the devices. */
  readonly devices: { readonly from: readonly string[]; readonly to: readonly string[] };
}

/** From one plan to another; undefined where their devices cannot be there at the same time. */
export function nextHandover(
  before: Handover | undefined,
  from: HostPlan,
  to: HostPlan,
  own: Subnet,
): Handover | undefined {
  if (!canBeSideBySide(from.backend, to.backend, own)) return undefined;
  const devices = { from: devicesOf(from, own), to: devicesOf(to, own) };
  const isGoingOn = before?.to.config === to.config;
  // The way back to devices that are still there needs no preparation.
  const isReturn = before?.step === 'handing over' && devices.to.join() === before.devices.from.join();
  const step = isGoingOn ? before.step : isReturn ? 'handing over' : 'preparing';
  return { from, to, step, devices };
}

/** What is applied meanwhile: the published plan, with both backends. */
export function sideBySide(published: HostPlan, { from, to, step }: Handover): HostPlan {
  const combine = step === 'preparing' ? preparing : handingOver;
  const fingerprint = [step, from.fingerprint, to.fingerprint].join();
  return { ...published, backend: combine(from.backend, to.backend), fingerprint };
}

/** The new device cannot be made, so that the configuration that wants it cannot be used. */
export function deviceRefusal(broken: readonly LinkReport[]): PlanRefusal | undefined {
  const failures = broken.flatMap(({ name, reason }) => (reason === undefined ? [] : [`${name}: ${reason}`]));
  if (failures.length === 0) return undefined;
  const reason = `the network configuration cannot be used: its device cannot be created: ${failures.join('; ')}`;
  const hint = 'remove what is in the way, or choose another VNI or Port; the agent tries again by itself';
  return { failure: { code: 'CONFIG_INVALID', reason, hint }, problems: [] };
}

/** Which step it is in, as `tulle status` shows it. */
export function handoverWarning({ step, devices }: Handover, leftBehind: readonly string[]): OwnedWarning {
  const { from, to } = deviceNames(devices);
  const rest =
    leftBehind.length === 0
      ? `every peer has followed, and ${from} is about to be removed`
      : `${from} stays for the peers that have not followed: ${enumerate(leftBehind)}`;
  return {
    id: 'handover',
    code: 'NETWORK_CHANGING',
    severity: 'info',
    title: 'the network is moving to another device',
    text: step === 'preparing' ? `${to} is being created, and ${from} is in use` : `${to} is in use; ${rest}`,
  };
}

/** Names of its devices; a backend that needs none is known by its type. */
function devicesOf({ backend }: HostPlan, own: Subnet): readonly string[] {
  const names = ownLinks(backend.host(own)).map(({ name }) => name);
  return names.length === 0 ? [backend.type] : names;
}

/** For a text: `flannel.88 and flannel-v6.88`. */
export function deviceNames({ from, to }: Handover['devices']): Record<'from' | 'to', string> {
  return { from: from.join(' and '), to: to.join(' and ') };
}
