/**
 * What a network namespace has: of this host, or of a container on it. Each list is read when it is first asked for, and
 * once: all checks of a look see the same. Nothing here is judged, and nothing is changed.
 */

import { isCode } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { lazy, lazyBy } from '../../base/lazy.ts';
import { hasLegacyTables } from '../../firewall/changes.ts';
import { parseSave, type SavedTables } from '../../firewall/iptables/saved.ts';
import { type ReadRuleset, readRuleset, withoutDormant } from '../../firewall/nftables/reader.ts';
import { readForward } from '../../firewall/ports/port-elements.ts';
import { isPortTable, PORT_SETS } from '../../firewall/ports/port-table.ts';
import { NetlinkError } from '../../netlink/errors.ts';
import { listBaseChains } from '../../netlink/netfilter/base-chains.ts';
import { connectNetfilter } from '../../netlink/netfilter/connect.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Route } from '../../netlink/route/objects.ts';
import type { RoutedPacket, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { linkNames } from '../../netlink/text/link.ts';
import { Netns } from '../../sys/netns.ts';
import { run } from '../../sys/process.ts';
import { readSysctl } from '../../sys/sysctl.ts';
import { readRulesOf } from '../trace/ruleset.ts';

/** What the kernel answers: a route, or why there is none (ENETUNREACH; EHOSTUNREACH, EACCES, EINVAL for a route that says so). */
export type Lookup =
  | { readonly route: Route; readonly refusal?: never }
  | { readonly refusal: NetlinkError; readonly route?: never };

/** Programs that print the rules of iptables. */
export type IptablesSave = `${'iptables' | 'ip6tables'}-${'nft' | 'legacy'}-save`;

/** Milliseconds for a program that prints something, which takes some 20 ms on a host that is at rest. */
const PATIENCE = 6_000;

/** Lists reject with NetlinkError or SysError; the namespace is gone then, or the caller may not enter it. */
export class NamespaceReader implements AsyncDisposable {
  readonly netns: Netns;
  readonly #route: Rtnetlink;
  readonly #isOurs: boolean;

  /** @param netns stays the caller's. @throws SysError */
  constructor(netns: Netns) {
    using here = Netns.current();
    this.#isOurs = here.inode === netns.inode;
    this.netns = netns.clone();
    this.#route = connectRoute({ netns });
  }

  readonly links = lazy(() => this.#route.links.list());
  readonly addresses = lazy(() => this.#route.addresses.list());
  /** Of all tables and both families. */
  readonly routes = lazy(() => this.#route.routes.list());
  readonly nexthops = lazy(() => this.#route.nexthops.list());
  /** Of policy routing. */
  readonly policyRules = lazy(() => this.#route.rules.list());
  readonly neighbors = lazy(() => this.#route.neighbors.list());
  /** forwarding and rp_filter of all links. */
  readonly netconf = lazy(() => this.#route.netconf.list());
  /** By index of the link; of a bridge with the entries of its ports. */
  readonly fdb = lazyBy((index: number) => this.#route.fdb.list(index));

  /** Names by index, as `ip` prints them. */
  readonly nameOf = lazy(async () => linkNames(await this.links()));

  /** Of all links. */
  readonly qdiscs = lazy(() => this.#route.traffic.qdiscs());

  /** By handle of a queue. */
  filters(index: number, parent: number) {
    return this.#route.traffic.filters(index, parent);
  }

  /** The number by which `Link.netnsId` names a namespace here; undefined when no link leads there. */
  netnsId(other: Netns): Promise<number | undefined> {
    return this.#route.netnsId(other.fd);
  }

  /** The way of a packet, asked each time: `ip route get`. */
  async lookup(destination: Ip, packet?: RoutedPacket): Promise<Lookup> {
    try {
      return { route: await this.#route.routes.lookup(destination, packet) };
    } catch (refusal) {
      if (refusal instanceof NetlinkError) return { refusal };
      throw refusal;
    }
  }

  /** Its value here; undefined where there is no such parameter. @param path `net/ipv4/conf/eth0/rp_filter` */
  sysctl(path: string): string | undefined {
    return readSysctl(path, this.netns);
  }

  /** Many at once, by path, without those that do not exist: entering a namespace has a price. */
  sysctls(paths: readonly string[]): Map<string, string> {
    const values = this.netns.run(() => paths.map(path => [path, readSysctl(path)] as const));
    return new Map(values.flatMap(([path, value]) => (value === undefined ? [] : [[path, value] as const])));
  }

  /** What a program prints here; undefined where it is not installed or fails. @throws ProcessError TIMEOUT: nothing is known then */
  output(program: string, ...args: readonly string[]): Promise<string | undefined> {
    return this.#outputs([program, ...args].join('\0'));
  }

  readonly #outputs = lazyBy(async (line: string) => {
    const [program = '', ...args] = line.split('\0');
    try {
      const { status, stdout } = await this.#run(program, args);
      return status === 0 ? stdout : undefined;
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  });

  /** Whether a chain of nftables can do anything: only then `nft` is worth its time in a container. */
  readonly hasRules = lazy(async () => {
    const chains = await listBaseChains(this.netns);
    return chains.some(({ isDropping, rules }) => isDropping || rules > 0);
  });

  /** All rules of nftables, as far as the way of a packet depends on them; undefined without nft. */
  readonly nft = lazy(async (): Promise<ReadRuleset | undefined> => {
    const listing = await this.output('nft', '-j', 'list', 'ruleset');
    if (listing === undefined) return undefined;
    return await withoutDormant(readRuleset(listing), ({ family, table }) =>
      this.output('nft', 'list', 'table', family, table),
    );
  });

  /** What Tulle's tables of published ports lead to; empty without such a table. */
  readonly publishedPorts = lazy(async () => {
    const tables = ((await this.nft())?.bases ?? []).map(({ table }) => table).filter(isPortTable);
    if (tables.length === 0) return [];
    using netfilter = connectNetfilter({ netns: this.netns });
    return [...new Set(tables)].flatMap(table =>
      PORT_SETS.flatMap(set =>
        netfilter.elements({ table, set }).flatMap(element => readForward(set, element) ?? []),
      ),
    );
  });

  /** All rules of nftables as text, with what iptables calls them. @throws TraceError without nft */
  readonly ruleset = lazy(() => readRulesOf((program, args) => this.#run(program, args)));

  /** Whether a table of iptables-legacy exists: only then its programs are worth their time. */
  get hasLegacyTables(): boolean {
    return hasLegacyTables(this.netns);
  }

  /** Empty where there is no such program. */
  readonly saved = lazyBy(async (program: IptablesSave): Promise<SavedTables> => {
    const text = await this.output(program);
    return parseSave(text ?? '');
  });

  #run(program: string, args: readonly string[]) {
    return run(program, args, {
      anyStatus: true,
      timeout: PATIENCE,
      ...(this.#isOurs ? {} : { namespaces: { net: `/proc/${process.pid}/fd/${this.netns.fd}` } }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#route[Symbol.asyncDispose]();
    this.netns[Symbol.dispose]();
  }
}
