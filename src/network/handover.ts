/**
 * How this host goes over from one plan to the next when it can have both (src/backend/handover.ts): to another VNI, or
 * another backend.
 *
 *     preparing     the new devices are made; peers do not know of them, and nothing depends on them
 *     handing over  the new plan is published and in use; the old one stays for the peers that have not followed
 *     (over)        every peer has followed: what only the old one had goes
 */

import { canBeSideBySide, handingOver, ownLinks, preparing } from '../backend/handover.ts';
import { enumerate } from '../base/enumerate.ts';
import type { DesiredLink } from '../dataplane/desired-link.ts';
import type { LinkReport } from '../dataplane/report.ts';
import { isSameConfig } from '../subnet/config/config.ts';
import type { HostPlan, PlanRefusal } from './host-plan.ts';
import type { OwnedWarning } from './reports.ts';

export interface Handover {
  readonly from: HostPlan;
  readonly to: HostPlan;
  readonly step: 'preparing' | 'handing over';
}

/** From one plan to another; undefined where this host cannot have both at the same time. */
export function nextHandover(
  before: Handover | undefined,
  from: HostPlan,
  to: HostPlan,
): Handover | undefined {
  if (!canBeSideBySide(from.backend, to.backend)) return undefined;
  if (before !== undefined && isSameConfig(before.to.config, to.config))
    return { from, to, step: before.step };
  const devices = devicesOf(to);
  // Devices that are still there need no preparation.
  const isReturn = before?.step === 'handing over' && devices.join() === devicesOf(before.from).join();
  return { from, to, step: devices.length === 0 || isReturn ? 'handing over' : 'preparing' };
}

/** What is applied meanwhile: the published plan, with both backends. */
export function sideBySide(published: HostPlan, { from, to, step }: Handover): HostPlan {
  const combine = step === 'preparing' ? preparing : handingOver;
  const fingerprint = [step, from.fingerprint, to.fingerprint].join();
  return { ...published, backend: combine(from.backend, to.backend), fingerprint };
}

/** Names of the devices of a plan. The links of the host itself that it uses are none. */
export function devicesOf({ backend }: HostPlan): readonly string[] {
  return namesOf(ownLinks(backend.host({})));
}

/**
 * The devices of the new plan that are not in place yet, as the data plane has them.
 * @param links after a comparison with the kernel
 */
export function missingDevices({ to }: Handover, links: readonly LinkReport[]): readonly LinkReport[] {
  return ownLinks(to.backend.host({})).flatMap(({ name, kind }) => {
    const link = links.find(other => other.name === name) ?? { name, kind, inSync: false };
    return link.inSync ? [] : [link];
  });
}

/** The new device cannot be made, so that the configuration that wants it cannot be used. */
export function deviceRefusal(missing: readonly LinkReport[]): PlanRefusal | undefined {
  const failures = missing.flatMap(({ name, reason }) =>
    reason === undefined ? [] : [`${name}: ${reason}`],
  );
  if (failures.length === 0) return undefined;
  const reason = `the network configuration cannot be used: its device cannot be created: ${failures.join('; ')}`;
  const hint = 'remove what is in the way, or choose another VNI or Port; the agent tries again by itself';
  return { failure: { code: 'CONFIG_INVALID', reason, hint }, problems: [] };
}

/** The beginning of every event of a handover, and the title of its warning. */
export const HANDOVER_TITLE = 'the network is changing';

/** A step begins, or, without one, the handover is over: the text of an event. */
export function handoverText({ from, to, step }: Handover, isOver = false): string {
  const [before, after] = [wayOf(from), wayOf(to)];
  if (isOver) return `every peer has followed, and ${before} has ended`;
  return step === 'preparing'
    ? `${after} is prepared, and ${before} stays in use`
    : `${after} is in use and published, and ${before} stays until every peer has followed`;
}

/** Which step it is in, as `tulle status` shows it. */
export function handoverWarning({ from, to, step }: Handover, leftBehind: readonly string[]): OwnedWarning {
  const [before, after] = [wayOf(from), wayOf(to)];
  const rest =
    leftBehind.length === 0
      ? `every peer has followed, and ${before} is about to end`
      : `${before} stays for the peers that have not followed: ${enumerate(leftBehind)}`;
  return {
    id: 'handover',
    code: 'NETWORK_CHANGING',
    severity: 'info',
    title: HANDOVER_TITLE,
    text:
      step === 'preparing'
        ? `${after} is being prepared, and ${before} is in use`
        : `${after} is in use; ${rest}`,
  };
}

/** For a text: `vxlan over flannel.88 and flannel-v6.88`, `host-gw over eth0`. */
function wayOf(plan: HostPlan): string {
  const { backend } = plan;
  const devices = devicesOf(plan);
  const links = devices.length > 0 ? devices : namesOf(backend.host({}).links);
  return links.length === 0 ? backend.type : `${backend.type} over ${links.join(' and ')}`;
}

const namesOf = (links: readonly DesiredLink[]) => links.map(({ name }) => name);
