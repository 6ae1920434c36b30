/**
 * The resolver of this host: answers its containers where the plan says (resolver-plan.ts), from the names that the cluster
 * has, and asks the servers of this host for all else.
 *
 *     networks, links ──> plan ──> listeners, address on loopback, redirection (nftables)
 *
 * It is level-triggered: whatever has changed, the plan is made anew, and what differs is opened and closed. The
 * redirection lasts for two minutes without an agent: questions wait for one that is started again, and go to the servers of
 * the containers when there is none.
 */
import type { ResolverReport } from '../../api/names.ts';
import { together } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { Watchable } from '../../base/watchable.ts';
import { DnsListener } from '../../dns/dns-listener.ts';
import { type NameServer, ResolvConf } from '../../dns/resolv-conf.ts';
import type { AskedNetwork } from '../../dns/resolver.ts';
import { Responder } from '../../dns/responder.ts';
import { Upstream } from '../../dns/upstream.ts';
import type { DnsRedirection } from '../../firewall/dns/dns-redirect.ts';
import { type DnsRedirect, redirectText } from '../../firewall/dns/redirect-table.ts';
import { RuleKeeper } from '../../firewall/rule-keeper.ts';
import { RT_SCOPE_HOST } from '../../netlink/route/constants.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import type { KnownNames } from '../../subnet/names/names.ts';
import type { HealthReporter } from '../reports.ts';
import type { HostNetwork } from '../underlay.ts';
import { isResolverWanted, type ResolverMode } from './resolver-mode.ts';
import {
  listenerText,
  type PlannedListener,
  planResolver,
  RESOLVER_IP,
  RESOLVER_LABEL,
  type ResolverNetwork,
} from './resolver-plan.ts';
import { type ResolverProblem, resolverWarnings } from './resolver-warnings.ts';

export interface HostResolverParts {
  readonly mode: ResolverMode;
  /** Asked instead of those of resolv.conf. */
  readonly upstream?: readonly NameServer[];
  readonly names: KnownNames & { readonly count: number };
  /** Those of this host on whose bridges it answers. */
  readonly networks: () => readonly ResolverNetwork[];
  /** Further ones that questions can be about. */
  readonly otherNetworks: () => readonly AskedNetwork[];
  /** Calls back when one of them has changed, until the signal aborts. */
  readonly followNetworks: (onChange: () => void, signal: AbortSignal) => Promise<void>;
  /** Networks of a container of this host, by an address of it; none for other addresses. */
  readonly networksOf: (asker: Ip) => readonly string[];
  /** Names of networks whose containers ask other servers themselves; whoever has such networks states them. */
  readonly notRedirected: Watchable<ReadonlySet<string>>;
  readonly host: Watchable<HostNetwork | undefined>;
  readonly rtnetlink: Pick<Rtnetlink, 'addresses'>;
  readonly redirection: Pick<DnsRedirection, 'apply' | 'renew'>;
  /** Yields whenever rules were changed in the kernel, until the signal aborts. */
  readonly ruleChanges: (signal: AbortSignal) => AsyncIterable<void>;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds in which further changes are gathered, and between tries of what failed. */
const SETTLE = 20;
const RETRY = { first: 1000, cap: 60_000 };
/** A fourth of what the redirection lasts without. */
const RENEWAL = 30_000;

export class HostResolver {
  readonly #parts: HostResolverParts;
  readonly notRedirected: Watchable<ReadonlySet<string>>;
  readonly #wakeup: Wakeup;
  readonly #responder: Responder;
  readonly #upstream: Upstream;
  readonly #resolvConf: ResolvConf;
  readonly #redirection: Pick<DnsRedirection, 'apply' | 'renew'>;
  readonly #keeper: RuleKeeper<DnsRedirect | undefined>;
  #isRedirecting = false;
  #ruleFailure: string | undefined;
  /** What the keeper was told last. */
  #redirected: { readonly text: string | undefined } | undefined;
  #asked: readonly AskedNetwork[] = [];
  /** By text. */
  readonly #open = new Map<string, { readonly planned: PlannedListener; readonly listener: DnsListener }>();
  #problems: readonly ResolverProblem[] = [];

  constructor(parts: HostResolverParts) {
    const { clock, names, networksOf, ruleChanges, logger } = parts;
    this.#parts = parts;
    this.notRedirected = parts.notRedirected;
    this.#wakeup = new Wakeup(clock);
    this.#resolvConf = new ResolvConf(clock);
    this.#upstream = new Upstream({ servers: () => this.#servers().good });
    this.#responder = new Responder({
      names,
      networks: () => this.#asked,
      networksOf,
      upstream: this.#upstream,
    });
    this.#redirection = parts.redirection;
    this.#keeper = new RuleKeeper({
      apply: wanted => this.#redirection.apply(wanted),
      changes: ruleChanges,
      clock,
      logger,
      onState: failure => {
        this.#ruleFailure = failure;
        this.#wakeup.wake();
      },
      what: 'the resolver',
    });
  }

  report(): ResolverReport {
    const { mode, names } = this.#parts;
    const listening = [...this.#open.values()].map(({ planned: { ip, link } }) => `${ip} on ${link}`);
    const reason =
      mode === 'off' ? 'turned off with --dns=off' : 'this host has no network whose containers have names';
    return {
      listening,
      ...(listening.length === 0 && { reason: this.#problems.length === 0 ? reason : 'see the warnings' }),
      upstream: this.#servers().good.map(({ address, port }) =>
        port === 53 ? address : `${address} port ${port}`,
      ),
      names: names.count,
      questions: { ...this.#responder.counts },
    };
  }

  /** Answers until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#wakeup.wake();
    try {
      await together(
        signal,
        until => this.#renewInTime(until),
        until => this.#parts.host.follow(wake, until),
        until => this.#parts.followNetworks(wake, until),
        until => this.#keeper.run(until),
        until => this.#work(until),
      );
    } finally {
      for (const text of this.#open.keys()) this.#close(text);
    }
  }

  /** When the table is gone, the keeper writes it again. */
  async #renewInTime(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(RENEWAL, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.#redirection.renew();
      } catch (error) {
        logger.warn({ error: messageOf(error) }, 'the redirection of DNS could not be renewed');
        this.#keeper.wake();
      }
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    let pause = 0;
    const pace = new Pace(clock);
    while (!signal.aborted) {
      await this.#wakeup.pause(pause, signal);
      await clock.sleep(SETTLE, signal).catch(() => undefined);
      if (signal.aborted) return;
      pace.begin();
      this.#problems = await this.#apply();
      this.#parts.health.warn('resolver', resolverWarnings(this.#problems));
      if (this.#problems.length === 0) delays = backoff(RETRY.first, RETRY.cap);
      pause = this.#problems.length === 0 ? Number.POSITIVE_INFINITY : delays.next().value;
      await pace.rest(signal);
    }
  }

  /** @returns what is not as it should be */
  async #apply(): Promise<readonly ResolverProblem[]> {
    const host = this.#parts.host.value;
    if (host === undefined) return [];
    const all = this.#parts.networks();
    // The overlay has no bridge before something is on it.
    const networks = all.filter(({ bridge }) => host.links.some(({ name }) => name === bridge));
    const named = all.map(({ network, networks: blocks }) => ({ name: network, networks: blocks }));
    this.#asked = [...named, ...this.#parts.otherNetworks()];
    const isWanted = isResolverWanted(this.#parts.mode, networks.length);
    const plan = planResolver(networks, host);
    const problems: ResolverProblem[] = [];
    if (typeof plan.address === 'object' && isWanted)
      problems.push({ type: 'address-taken', link: plan.address.takenBy });
    const isReady = await this.#keepAddress(host, isWanted && plan.address === 'missing', isWanted, problems);
    const wanted = isWanted && isReady ? plan.listeners : [];
    const texts = new Set(wanted.map(listenerText));
    for (const text of this.#open.keys()) if (!texts.has(text)) this.#close(text);
    for (const planned of wanted) await this.#listen(planned, problems);
    this.#redirect(isWanted ? plan.redirect : undefined);
    if (this.#ruleFailure !== undefined) problems.push({ type: 'rules', reason: this.#ruleFailure });
    if (isWanted && this.#servers().own.length > 0)
      problems.push({ type: 'loop', servers: this.#servers().own });
    return problems;
  }

  /** @returns whether it is as it should be */
  async #keepAddress(
    { links, addresses }: HostNetwork,
    isMissing: boolean,
    isWanted: boolean,
    problems: ResolverProblem[],
  ): Promise<boolean> {
    const loopback = links.find(({ name }) => name === 'lo');
    if (loopback === undefined) return true;
    const address = { index: loopback.index, ip: RESOLVER_IP, length: 32 };
    // One that has no such label is another's, and serves as well.
    const own = addresses.find(({ ip, label }) => ip.equals(RESOLVER_IP) && label === RESOLVER_LABEL);
    if (own !== undefined) this.#isRedirecting = true;
    try {
      if (isMissing) {
        await this.#parts.rtnetlink.addresses.replace({
          ...address,
          scope: RT_SCOPE_HOST,
          label: RESOLVER_LABEL,
        });
      } else if (own !== undefined && !isWanted)
        await unlessGone(this.#parts.rtnetlink.addresses.delete(address));
      return true;
    } catch (error) {
      problems.push({ type: 'address', reason: messageOf(error) });
      return false;
    }
  }

  async #listen(planned: PlannedListener, problems: ResolverProblem[]): Promise<void> {
    const text = listenerText(planned);
    if (this.#open.has(text)) return;
    const { link, ip, askers } = planned;
    try {
      const listener = await DnsListener.open({
        link,
        ip,
        isAsker: address => askers.some(block => block.contains(address)),
        responder: this.#responder,
      });
      this.#open.set(text, { planned, listener });
    } catch (error) {
      problems.push({ type: 'listen', ip, link, reason: messageOf(error) });
    }
  }

  #close(text: string): void {
    this.#open.get(text)?.listener[Symbol.dispose]();
    this.#open.delete(text);
  }

  /** On a host where nothing was ever redirected no rules are looked for. */
  #redirect(wanted: DnsRedirect | undefined): void {
    if (wanted === undefined && !this.#isRedirecting) return;
    this.#isRedirecting = true;
    const text = wanted && redirectText(wanted);
    // What is stated already is kept; to compare it with the kernel starts programs.
    if (this.#redirected === undefined || this.#redirected.text !== text) this.#keeper.set(wanted);
    this.#redirected = { text };
  }

  /** Those that are asked, and those that are this resolver itself, which would ask for ever. */
  #servers(): { readonly good: readonly NameServer[]; readonly own: readonly NameServer[] } {
    const servers = this.#parts.upstream ?? this.#resolvConf.servers;
    const ours = new Set([
      `${RESOLVER_IP}`,
      ...[...this.#open.values()].map(({ planned }) => `${planned.ip}`),
    ]);
    const isOwn = ({ address, port }: NameServer) => port === 53 && ours.has(address);
    return { good: servers.filter(server => !isOwn(server)), own: servers.filter(isOwn) };
  }
}
