/**
 * The fast path on this host: which links have its programs, when what was proven must be proven anew, and why packets go
 * the normal path where they do.
 *
 *     plan and lease, L2 networks ─┐
 *     links, addresses of the host ┼─> planFastPath ─┬─> data plane: programs at links
 *     queues, programs of others ──┤                 └─> tunnels that the programs know
 *     rules of the firewall ───────┘
 *     each change of these, and each write to the kernel ─> generation
 *
 * The proof of each packet is in the programs. The generation only shortens the time in which a change is not noticed.
 */
import type { FastPathNetwork, FastPathObstacle } from '../../api/fast-path.ts';
import { together } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { NetworkScope } from '../../dataplane/data-plane.ts';
import type { JudgingRule } from '../../firewall/judging/judging-rule.ts';
import type { RuleWatch, RuleWatchOptions } from '../../firewall/judging/rule-watch.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { SharedDataPlane } from '../shared-data-plane.ts';
import type { HostNetwork } from '../underlay.ts';
import type { FastPathPrograms } from './fast-path-programs.ts';
import { Generation } from './generation.ts';
import { LinkLooks, type LinkLooksParts } from './link-looks.ts';
import { judged, OBSTACLES, tooManyTunnels } from './obstacle.ts';
import { PassedLinks } from './passed-links.ts';
import { type CarriedNetwork, type FastPathHost, type FastPathPlan, planFastPath } from './plan.ts';

/** Milliseconds in which what the last run had attached stays, while this one does not know its networks yet. */
const PATIENCE = 30_000;

/** Milliseconds in which further changes are gathered. */
const SETTLE = 20;

/** Rules of the firewall: that they have changed, and which of them must see each packet. */
export type WatchRules = (
  options: Pick<RuleWatchOptions, 'onChange'> & Required<Pick<RuleWatchOptions, 'traffic'>>,
) => Pick<RuleWatch, 'judging' | 'reread' | 'run'>;

export interface HostFastPathParts {
  readonly programs: FastPathPrograms;
  /** As they are now; undefined until they are known. */
  readonly networks: () => readonly CarriedNetwork[] | undefined;
  /** Links and addresses of this host. */
  readonly host: Watchable<HostNetwork | undefined>;
  readonly rtnetlink: LinkLooksParts['rtnetlink'] & Pick<Rtnetlink, 'writes'>;
  readonly dataPlane: SharedDataPlane;
  readonly watchRules: WatchRules;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class HostFastPath {
  readonly #parts: HostFastPathParts;
  readonly #generation: Generation;
  readonly #looks: LinkLooks;
  /** Grows with everything that the plan is made of. */
  readonly #inputs = new Watchable(0);
  #plan: FastPathPlan | undefined;
  #stated: string | undefined;
  #scope: NetworkScope | undefined;
  /** Whether networks that are not known by now are taken for gone. */
  hasWaited = false;
  readonly #passed = new PassedLinks();
  #writes = 0;
  /** As the programs know them. */
  #tunnels: string | undefined;
  /** VNIs of those that they have no room for. */
  #leftOut: ReadonlySet<number> = new Set();
  readonly #rules: ReturnType<WatchRules>;
  /** In text: which rules count depends on it. */
  #traffic = '';

  constructor(parts: HostFastPathParts) {
    this.#parts = parts;
    this.#generation = new Generation(() => parts.programs.bump(), parts.logger);
    this.#looks = new LinkLooks({
      ...parts,
      others: link => parts.programs.others(link),
      otherIds: link => parts.programs.otherIds(link),
    });
    this.#rules = parts.watchRules({
      onChange: () => this.#generation.changed(),
      traffic: () => trafficOf(parts.networks()),
    });
  }

  /** What became of each network; none before the first decision. */
  get networks(): readonly FastPathNetwork[] {
    return this.#plan?.networks ?? [];
  }

  /** What the data plane could not do; undefined when that is nothing. */
  get failure(): string | undefined {
    return this.#scope?.report().failures[0];
  }

  /** The networks, or what is said of them, may have changed. */
  networksChanged(): void {
    increment(this.#inputs);
  }

  /** Follows this host until `signal` aborts; the programs stay. */
  async run(signal: AbortSignal): Promise<void> {
    const { host, dataPlane, clock } = this.#parts;
    const changed = () => increment(this.#inputs);
    await together(
      signal,
      until => this.#looks.run(until),
      until => this.#looks.version.follow(changed, until),
      until => host.follow(changed, until),
      until => dataPlane.rounds.follow(() => this.#followWrites(), until),
      until => this.#rules.run(until),
      until => this.#rules.judging.follow(changed, until),
      until => this.#decide(until),
      until => this.#generation.run(clock, until),
      async until => {
        await clock.sleep(PATIENCE, until).catch(() => undefined);
        this.hasWaited = true;
        changed();
      },
    );
  }

  async #decide(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    const pace = new Pace(clock, { least: SETTLE });
    let delays = backoff(500, 30_000);
    for await (const _ of this.#inputs.changes(signal)) {
      pace.begin();
      try {
        await this.#state();
        delays = backoff(500, 30_000);
        await pace.rest(signal);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error: messageOf(error) }, 'what the fast path depends on could not be read');
        await clock.sleep(delays.next().value, signal).catch(() => undefined);
        increment(this.#inputs);
      }
    }
  }

  /** Decides, and states it to the data plane. @throws NetlinkError, SysError */
  async #state(): Promise<void> {
    const { host, dataPlane } = this.#parts;
    const { value: network } = host;
    const networks = this.#parts.networks();
    if (network === undefined || networks === undefined || this.#looks.version.value === 0) return;
    const { prefixes, ports } = trafficOf(networks);
    const traffic = String([...prefixes, ...ports]);
    if (traffic !== this.#traffic) this.#rules.reread();
    this.#traffic = traffic;
    const rules = this.#rules.judging.value;
    if (rules === undefined && !this.hasWaited) return;
    const obstacle = ruleObstacle(rules);
    const { links } = network;
    const facts: FastPathHost = { ...network, routes: this.#looks.routes(), at: new Map() };
    // What it may depend on is looked at before anything is attached.
    const { links: needed } = planFastPath(networks, facts, obstacle);
    const at = await this.#looks.at(links.filter(({ index }) => needed.has(index)));
    const plan = this.#planWith(networks, { ...facts, at }, obstacle);
    this.#plan = plan;
    if (this.#passed.isOther(network, plan.links)) this.#generation.changed();
    const stated = JSON.stringify(plan.programs);
    if (stated === this.#stated) return;
    this.#stated = stated;
    this.#scope ??= dataPlane.network('fast path');
    this.#scope.setHost({
      networks: [],
      links: [],
      addresses: [],
      sysctls: [],
      programs: plan.programs,
    });
    // The data plane itself tries again what fails.
    void dataPlane.apply().catch(() => undefined);
  }

  /** With the tunnels that the programs have room for: they know them from now on. */
  #planWith(
    networks: readonly CarriedNetwork[],
    facts: FastPathHost,
    obstacle: FastPathObstacle | undefined,
  ): FastPathPlan {
    const whole = planFastPath(networks, facts, obstacle);
    const text = JSON.stringify(whole.tunnels);
    if (text !== this.#tunnels) {
      this.#leftOut = new Set(this.#parts.programs.setTunnels(whole.tunnels).map(({ vni }) => vni));
      this.#tunnels = text;
    }
    if (this.#leftOut.size === 0) return whole;
    const known = networks.map(network =>
      network.tunnels.some(({ vni }) => this.#leftOut.has(vni))
        ? { ...network, obstacle: network.obstacle ?? tooManyTunnels }
        : network,
    );
    return planFastPath(known, facts, obstacle);
  }

  /** Peers, addresses or routes of ours have changed when something was written. */
  #followWrites(): void {
    const { writes } = this.#parts.rtnetlink;
    if (writes !== this.#writes) this.#generation.changed();
    this.#writes = writes;
    increment(this.#inputs);
  }
}

/** Addresses of all containers, and ports of tunnels. */
const trafficOf = (networks: readonly CarriedNetwork[] = []) => ({
  prefixes: networks.flatMap(({ addresses }) => addresses),
  ports: networks.flatMap(({ tunnels }) => tunnels.map(({ port }) => port)),
});

function ruleObstacle(rules: readonly JudgingRule[] | undefined): FastPathObstacle | undefined {
  if (rules === undefined) return OBSTACLES.unreadRules;
  const [rule] = rules;
  return rule && judged(rule);
}
