/**
 * The tunnels of this host: kept, planned again whenever the host changes, applied through scopes of the data plane, and
 * reported. Neither the store nor a lease is needed for any of it.
 *
 *     request ── readTunnel ──┐
 *     host ───── readFacts ───┴─> planTunnel ──> scope `tunnel NAME` ──> kernel
 *                                       └─────> fitMembers: MTU behind the bridge
 */
import type { TunnelReport, TunnelRequest } from '../../api/tunnels.ts';
import { defined } from '../../base/defined.ts';
import { ConfigError, messageOf, type Problem, TulleError } from '../../base/errors.ts';
import { Mac } from '../../base/mac.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { NetworkScope } from '../../dataplane/data-plane.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { BoundPort } from '../../sys/udp-ports.ts';
import type { SharedDataPlane } from '../shared-data-plane.ts';
import type { BridgeFinder } from './attachment.ts';
import { clashesOf, type ReservedVni } from './clashes.ts';
import { readFacts } from './facts.ts';
import type { KeptTunnel, KeptTunnels, TunnelStorage } from './kept.ts';
import { type Fitted, fitMembers, unfitMembers, type Visited } from './members.ts';
import { isPlan, planTunnel, type TunnelPlan } from './plan.ts';
import { fittedReport, kernelReport, linkOf, notesOf, stateOf } from './report.ts';
import { isTunnel, readTunnel, type TunnelSpec } from './spec.ts';

export type TunnelErrorCode =
  /** There is no tunnel of this name. */
  | 'NOT_FOUND'
  /** The kernel has refused it; nothing is left of the attempt. */
  | 'NOT_APPLIED'
  /** What has changed could not be written down, so that the next start does not know of it. */
  | 'NOT_KEPT';

/** A tunnel cannot be made or deleted. */
export class TunnelError extends TulleError<TunnelErrorCode> {}

export interface TunnelParts {
  readonly rtnetlink: Rtnetlink;
  /** UDP ports that sockets of this host are bound to. */
  readonly boundPorts: () => readonly BoundPort[];
  readonly dataPlane: Pick<SharedDataPlane, 'network' | 'apply'>;
  readonly storage: TunnelStorage;
  readonly bridges: BridgeFinder;
  readonly kept: TunnelReport['kept'];
  readonly randomBytes: (count: number) => Uint8Array;
  /** VNIs of the networks of this host. */
  readonly reserved: () => readonly ReservedVni[];
}

interface Tunnel {
  kept: KeptTunnel;
  readonly spec: TunnelSpec;
  /** Absent until it was planned for the first time in this run. */
  scope?: NetworkScope;
  plan?: TunnelPlan;
  /** What this host lacks for it; `plan` is then an earlier one. */
  waiting: readonly Problem[];
  /** About what shares its bridge. */
  notes: readonly string[];
}

export class Tunnels {
  readonly #parts: TunnelParts;
  readonly #tunnels = new Map<string, Tunnel>();
  #fitted: readonly Fitted[];
  readonly #visited: Visited = new Map();
  /** What the storage has. */
  #saved: string;
  /** The last of what is done one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Grows when tunnels are added, deleted or planned anew. */
  readonly version = new Watchable(0);

  constructor(parts: TunnelParts, { tunnels, fitted }: KeptTunnels) {
    this.#parts = parts;
    this.#fitted = fitted;
    for (const kept of tunnels) {
      const spec = readTunnel(kept.request);
      if (isTunnel(spec)) this.#tunnels.set(spec.name, { kept, spec, waiting: [], notes: [] });
    }
    this.#saved = JSON.stringify(this.#kept);
  }

  get size(): number {
    return this.#tunnels.size;
  }

  /** Whether a tunnel waits for something of the host. */
  get isWaiting(): boolean {
    return Array.from(this.#tunnels.values()).some(({ waiting }) => waiting.length > 0);
  }

  /**
   * Makes a tunnel, and keeps it when it is there.
   * @throws ConfigError with everything that is wrong with the request or in its way; TunnelError; NetlinkError
   */
  add(request: TunnelRequest): Promise<TunnelReport> {
    return this.#afterOthers(() => this.#add(request));
  }

  /** Deletes a tunnel and gives links their MTU back. @throws TunnelError; NetlinkError */
  delete(name: string): Promise<void> {
    return this.#afterOthers(() => this.#delete(name));
  }

  /** @throws NetlinkError, SysError */
  list(): Promise<TunnelReport[]> {
    return this.#afterOthers(async () => {
      const reports: TunnelReport[] = [];
      for (const tunnel of this.#tunnels.values()) reports.push(await this.#report(tunnel));
      return reports;
    });
  }

  /** Plans all tunnels for the host as it is now, and applies what has changed. @throws NetlinkError, SysError, Error of the storage */
  refresh(): Promise<void> {
    return this.#afterOthers(async () => {
      const all = [...this.#tunnels.values()];
      let isChanged = false;
      for (const tunnel of all) if (await this.#plan(tunnel)) isChanged = true;
      if (isChanged) await this.#parts.dataPlane.apply();
      await this.#release();
      for (const tunnel of all) await this.#fit(tunnel);
      increment(this.version);
      await this.#save();
    });
  }

  /** How each tunnel is, as far as it is known without asking the kernel. */
  states(): (Pick<TunnelReport, 'state' | 'reason' | 'hint'> & { readonly name: string })[] {
    return Array.from(this.#tunnels.values(), tunnel => ({ name: tunnel.spec.name, ...lastStateOf(tunnel) }));
  }

  async #add(request: TunnelRequest): Promise<TunnelReport> {
    const { rtnetlink, boundPorts, dataPlane, randomBytes, reserved } = this.#parts;
    const subject = `tunnel ${request.name}`;
    const spec = readTunnel(request);
    if (!isTunnel(spec)) throw new ConfigError(subject, spec);
    if (this.#tunnels.has(spec.name)) {
      const hint = `\`tulle tunnel delete ${spec.name}\` makes room`;
      throw new ConfigError(subject, [
        { path: 'name', value: spec.name, message: 'there is a tunnel of this name', hint },
      ]);
    }
    const tunnel: Tunnel = { kept: { request, mac: Mac.random(randomBytes) }, spec, waiting: [], notes: [] };
    const facts = await this.#factsOf(spec);
    const planned = planTunnel(spec, facts, tunnel.kept.mac);
    const routes = await rtnetlink.routes.list({ table: RT_TABLE_MAIN });
    const promised = { vnis: reserved(), tunnels: Array.from(this.#tunnels.values(), other => other.spec) };
    const clashes = clashesOf(spec, { ...facts, routes, ports: boundPorts() }, promised);
    const problems = [...(isPlan(planned) ? [] : planned), ...clashes];
    if (!isPlan(planned) || problems.length > 0) throw new ConfigError(subject, problems);

    this.#tunnels.set(spec.name, tunnel);
    // Before it is made: a tunnel that no record names would be nobody's after a crash.
    await this.#save().catch(error => {
      this.#tunnels.delete(spec.name);
      throw error;
    });
    try {
      await this.#plan(tunnel);
      await dataPlane.apply();
      const { state, reason, hint } = lastStateOf(tunnel);
      if (state !== 'up') throw new TunnelError('NOT_APPLIED', `${subject}: ${reason}`, defined({ hint }));
      await this.#fit(tunnel);
      await this.#save();
    } catch (error) {
      await this.#delete(spec.name).catch(() => undefined);
      throw error;
    }
    increment(this.version);
    return this.#report(tunnel);
  }

  async #delete(name: string): Promise<void> {
    const { rtnetlink, dataPlane } = this.#parts;
    const tunnel = this.#tunnels.get(name);
    if (tunnel === undefined) {
      throw new TunnelError('NOT_FOUND', `there is no tunnel ${name}`, {
        hint: '`tulle tunnel list` shows them',
      });
    }
    this.#tunnels.delete(name);
    tunnel.scope?.remove();
    await dataPlane.apply();
    // One that this run has not planned is not in the data plane.
    const link = await linkOf(rtnetlink, tunnel.kept);
    if (link !== undefined) await rtnetlink.links.delete(link.index);
    // In a run that only deletes the others are not planned yet.
    const others = Array.from(this.#tunnels.values()).filter(
      ({ kept }) => kept.bridge === tunnel.kept.bridge,
    );
    for (const other of others) await this.#plan(other);
    await this.#release();
    for (const other of others) await this.#fit(other);
    increment(this.version);
    await this.#save();
  }

  /** True when the data plane is to have something else than before. @throws NetlinkError, SysError */
  async #plan(tunnel: Tunnel): Promise<boolean> {
    const { spec, plan: before } = tunnel;
    const facts = await this.#factsOf(spec);
    const planned = planTunnel(spec, facts, tunnel.kept.mac);
    tunnel.waiting = isPlan(planned) ? [] : planned;
    // What is in the kernel stays: a route that comes back finds the tunnel as it was.
    if (!isPlan(planned)) return false;
    if (planned.bridge !== undefined) tunnel.kept = { ...tunnel.kept, bridge: planned.bridge };
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(planned)) return false;
    tunnel.plan = planned;
    tunnel.scope ??= this.#parts.dataPlane.network(`tunnel ${spec.name}`);
    tunnel.scope.setHost(planned.host);
    return true;
  }

  #factsOf(spec: TunnelSpec) {
    const { rtnetlink, bridges } = this.#parts;
    return readFacts(rtnetlink, spec, (name, links) => bridges.find(name, links));
  }

  /** Lowers the MTU of what shares the bridge. @throws NetlinkError, SysError */
  async #fit(tunnel: Tunnel): Promise<void> {
    const { bridge, mtu } = tunnel.plan ?? {};
    if (bridge === undefined || mtu === undefined) return;
    const ofBridge = this.#fitted.filter(one => one.bridge === bridge);
    const target = { bridge, mtu, except: tunnel.spec.name };
    const { fitted, notes } = await fitMembers(this.#parts.rtnetlink, target, ofBridge, this.#visited);
    tunnel.notes = notes;
    this.#fitted = [...this.#fitted.filter(one => one.bridge !== bridge), ...fitted];
  }

  /** Gives links their MTU back where no tunnel is any more, or all that there are carry more. @throws NetlinkError, SysError */
  async #release(): Promise<void> {
    for (const [bridge, ofBridge] of Map.groupBy(this.#fitted, one => one.bridge)) {
      const users = Array.from(this.#tunnels.values()).filter(({ kept }) => kept.bridge === bridge);
      // One that waits is to find them as they are.
      const least = Math.min(...users.map(({ plan }) => plan?.mtu ?? 0));
      if (ofBridge.every(({ now }) => now >= least)) continue;
      await unfitMembers(this.#parts.rtnetlink, ofBridge);
      this.#visited.clear();
      this.#fitted = this.#fitted.filter(one => one.bridge !== bridge);
    }
  }

  async #report(tunnel: Tunnel): Promise<TunnelReport> {
    const { kept, waiting, scope } = tunnel;
    const link = await linkOf(this.#parts.rtnetlink, kept);
    const fitted = this.#fitted.filter(({ bridge }) => bridge === kept.bridge);
    return {
      ...kept.request,
      kept: this.#parts.kept,
      ...stateOf(waiting, scope?.report(), link),
      ...(link && (await kernelReport(this.#parts.rtnetlink, link))),
      fitted: fitted.map(fittedReport),
      notes: notesOf(tunnel, this.#parts.kept),
    };
  }

  /** Writes down what has changed since the last time. @throws TunnelError */
  async #save(): Promise<void> {
    const text = JSON.stringify(this.#kept);
    if (text === this.#saved) return;
    try {
      await this.#parts.storage.save(this.#kept);
    } catch (cause) {
      const message = `the tunnels of this host could not be written down: ${messageOf(cause)}`;
      throw new TunnelError('NOT_KEPT', message, {
        hint: 'the next start has those that were written last',
        cause,
      });
    }
    this.#saved = text;
  }

  get #kept(): KeptTunnels {
    return { tunnels: Array.from(this.#tunnels.values(), ({ kept }) => kept), fitted: this.#fitted };
  }

  /** One after the other: two requests at once could both find a name or a VNI free. */
  #afterOthers<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

const lastStateOf = ({ spec, waiting, scope }: Tunnel) =>
  stateOf(waiting, scope?.report(), { up: true, name: spec.name });
