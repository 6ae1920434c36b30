/** An overlay whose data plane records what is desired of it, for tests. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { EventLog } from '../../agent/health/event-log.ts';
import { Health } from '../../agent/health/health.ts';
import { Identity } from '../../agent/state/state-directory.ts';
import type { Backend, BackendContext } from '../../backend/backend.ts';
import { ConfigError } from '../../base/errors.ts';
import { recordingLogger } from '../../base/log.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { Watchable } from '../../base/watchable.ts';
import type { DataPlane, NetworkScope } from '../../dataplane/data-plane.ts';
import type { DesiredLink } from '../../dataplane/desired-link.ts';
import type { ApplyResult, DataPlaneReport, LinkReport } from '../../dataplane/report.ts';
import { devicesOf } from '../../network/handover.ts';
import type { LastRun } from '../../network/network-parts.ts';
import type { FirewallPolicy } from '../../network/options.ts';
import { Overlay } from '../../network/overlay.ts';
import type { TargetListener, Targets } from '../../network/targets.ts';
import type { HostNetwork } from '../../network/underlay.ts';
import { parseNetworkConfig } from '../../subnet/config/config.ts';
import { parseLeaseKey } from '../../subnet/lease/key.ts';
import type { Lease } from '../../subnet/lease/lease.ts';
import type { ManagedFileState } from '../../sys/managed-file.ts';
import { ManualClock } from '../manual-clock.ts';

export const config = (vni: number, network = '10.3.0.0/16') =>
  parseNetworkConfig(JSON.stringify({ Network: network, Backend: { Type: 'vxlan', VNI: vni } })).config;

export const dualStack = parseNetworkConfig(
  JSON.stringify({
    Network: '10.3.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fd03::/48',
    Backend: { Type: 'vxlan', VNI: 88 },
  }),
).config;

export const network = (address: string, up = true, ...more: string[]): HostNetwork => ({
  links: [{ index: 2, name: 'eth0', type: 1, flags: 0, up, running: up, mtu: 1500 }],
  addresses: [address, ...more].map(text => {
    const parsed = parseInterfaceAddress(text);
    return { ...parsed, index: 2, family: parsed.ip.family, scope: 0, flags: 0x80, unknown: [] };
  }),
  defaultRoutes: [],
  defaultVxlanPort: 8472,
});

export const lease = (key: string, modRevision = 1n): Lease => ({
  key,
  subnet: parseLeaseKey(key),
  attributes: { publicIp: {} },
  storeLease: 1n,
  createRevision: 1n,
  modRevision,
});

/** A backend whose state names its inputs. */
const createBackend = ({ config: { backend }, underlay }: BackendContext): Backend => {
  const vni = String(backend.options['VNI']);
  if (Number(vni) > 16_777_215) {
    throw new ConfigError('backend', [{ path: 'Backend.VNI', value: vni, message: 'is too large' }]);
  }
  const { name, mtu } = underlay.link;
  if (mtu < 1350)
    throw new ConfigError('backend', [{ path: `MTU of ${name}`, value: mtu, message: 'is too small' }]);
  return {
    type: backend.type,
    overlayMtu: 1450,
    mtuParts: [
      { what: 'eth0', bytes: 1500 },
      { what: 'VXLAN over IPv4', bytes: -50 },
    ],
    leftOut: [],
    reduced: [],
    attributes: () => ({ backendType: backend.type, backendData: { ipv4: { VNI: vni } } }),
    host: own => ({
      networks: [],
      links: [{ kind: 'vxlan', name: `flannel.${vni}`, port: 8472 } as DesiredLink],
      addresses: [],
      sysctls: [{ link: 'flannel', path: `vni ${vni} at ${underlay.ip.ipv4}`, value: String(own.ipv4) }],
    }),
    peer: ({ key, modRevision, attributes: { backendData } }) =>
      (key === '10.3.99.0-24' && modRevision === 1n) || (backendData?.ipv4 ?? vni) !== vni
        ? { paths: [], problems: ['is of another kind'] }
        : {
            paths: [
              {
                link: `flannel.${vni}`,
                subnet: Prefix.parse('10.3.0.0/24'),
                underlayIp: underlay.ip.ipv4 ?? assert.fail(),
                entries: [],
              },
            ],
            problems: [],
          },
  };
};

type DesiredFirewall = Parameters<Targets['firewall']['apply']>[0];
type FirewallState = Targets['firewall']['state'];

const IN_SYNC: ApplyResult = { inSync: true, writes: 0, failures: [] };

/** What a harness's overlay is asked to do in the firewall. */
export const OVERLAY_FIREWALL: FirewallPolicy = {
  masquerade: true,
  forward: false,
  randomFully: true,
  openPort: true,
  checkSenders: true,
  resyncSeconds: 5,
};

export class OverlayHarness {
  readonly clock = new ManualClock();
  readonly events = new EventLog({ clock: this.clock, logger: recordingLogger() });
  readonly health = new Health(this.clock, this.events);
  readonly overlay: Overlay;
  /** Devices that the kernel has. */
  links: readonly LinkReport[] = [];
  /** What the data plane reports of all its users. */
  report: Partial<DataPlaneReport> = {};
  /** Of the firewall, as it was compared last. */
  firewall: Partial<FirewallState> = {};
  /** Kernel parameters that differ from those of a host that forwards. */
  readonly sysctls = new Map<string, string>();
  /** The desired firewall and the text of the subnet file, as they were set one after the other. */
  readonly rules: (DesiredFirewall | string)[] = [];
  /** How often the data plane was to be applied, and what the kernel makes of it. */
  rounds = 0;
  applyDataPlane: () => Promise<ApplyResult> = async () => IN_SYNC;
  /** What the firewall makes of the next desired state. */
  applyFirewall: () => Promise<unknown> = async () => undefined;
  /** How the writing of the subnet file went. */
  readonly subnetFile = new Watchable<ManagedFileState>({ ok: false });
  readonly #desired: string[] = [];
  #listener: TargetListener | undefined;

  private constructor(identity: Identity, former: Partial<LastRun>) {
    this.overlay = new Overlay({
      options: {
        healthMesh: false,
        fastPath: 'off',
        resolver: { mode: 'off' },
        stateDirectory: '/nowhere',
        underlay: { interfaces: ['eth0'], patterns: [], publicIp: {} },
        lease: { subnetFile: '/run/subnet.env', renewMarginMinutes: 60 },
        firewall: OVERLAY_FIREWALL,
      },
      identity,
      health: this.health,
      events: this.events,
      clock: this.clock,
      logger: recordingLogger(),
      createBackend,
      formerConfig: former.config,
      leavingConfig: former.leaving,
      formerDevices: former.devices ?? [],
      openTargets: listener => {
        this.#listener = listener;
        return this.#targets();
      },
    });
  }

  static async make(t: TestContext, former: Partial<LastRun> = {}): Promise<OverlayHarness> {
    const directory = mkdtempSync(join(tmpdir(), 'tt-overlay-'));
    t.after(() => rmSync(directory, { recursive: true }));
    return new OverlayHarness(await Identity.open(directory), former);
  }

  /** Host, peer and lease of a small network. */
  start(): void {
    this.overlay.setConfig(config(88));
    this.overlay.setNetwork(network('192.168.65.3/24'));
    this.overlay.changePeers([lease('10.3.7.0-24')], []);
    this.overlay.setLease(lease('10.3.5.0-24'));
  }

  /** What was desired of the data plane since the last call. */
  taken(): string[] {
    return this.#desired.splice(0);
  }

  /** The data plane was compared with the kernel, which has `links`. */
  round({ settingsChanged = false } = {}): void {
    this.#listener?.onRound(IN_SYNC, settingsChanged);
  }

  /** The firewall was compared with the kernel. */
  firewallIs(state: Partial<FirewallState>): void {
    this.firewall = state;
    this.#listener?.onFirewallState(this.#firewallState);
  }

  repairFirewall(repaired: readonly string[]): void {
    this.#listener?.onFirewallRepair(repaired);
  }

  get #firewallState(): FirewallState {
    return { ok: true, obstacles: [], dependsOnPeers: false, ...this.firewall };
  }

  isPreparing(device: string): boolean {
    const { handover } = this.overlay;
    return handover?.step === 'preparing' && devicesOf(handover.to).includes(device);
  }

  isOk(name: 'config' | 'underlay' | 'dataplane'): boolean {
    return this.health.conditions().find(condition => condition.name === name)?.ok === true;
  }

  #targets(): Targets {
    const state = () => this.#firewallState;
    return {
      dataPlane: {
        apply: async () => {
          this.rounds++;
          const result = await this.applyDataPlane();
          this.round();
          return result;
        },
        report: () => ({
          inSync: true,
          wanted: 9,
          failed: 0,
          writes: 7,
          driftRepairs: { route: 2 },
          ...this.report,
          links: this.links,
        }),
      } as Partial<DataPlane> as DataPlane,
      rounds: new Watchable(0),
      network: this.#network(),
      firewall: {
        get state() {
          return state();
        },
        apply: desired => {
          this.rules.push(desired);
          return this.applyFirewall();
        },
      },
      senders: { use: () => undefined, set: () => undefined, refused: () => undefined },
      netfilter: {
        port: 0,
        commit: () => undefined,
        elements: () => [],
        connections: () => [],
        forget: () => undefined,
      },
      forwarder: {
        state: new Watchable(undefined),
        set: () => undefined,
        stats: async () => undefined,
        obstacle: () => undefined,
      },
      prober: { probe: async () => ({ outcome: 'silent' }) },
      listen: async () => undefined,
      subnetFile: {
        path: '/run/subnet.env',
        state: this.subnetFile,
        set: text => void this.rules.push(text),
      },
      readSysctl: path => this.sysctls.get(path),
      async *removeDevices(names) {
        yield* names;
      },
      run: async () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  #network(): NetworkScope {
    const note = (text: string) => void this.#desired.push(text);
    return {
      report: () => ({
        name: 'overlay',
        inSync: true,
        wanted: 9,
        failed: 0,
        failures: [],
        links: this.links,
      }),
      setHost: ({ sysctls }) => note(`host: ${sysctls.map(({ path, value }) => `${path} ${value}`).join()}`),
      setPeers: peers =>
        note(`peers: ${Array.from(peers, ({ key, paths }) => `${key} ${paths[0]?.link}`).join(', ')}`),
      setPeer: ({ key, paths }) => note(`peer: ${key} ${paths[0]?.link}`),
      removePeer: key => note(`gone: ${key}`),
      peerReport: key => {
        const entries = key === '10.3.99.0-24' ? [] : ['route'];
        return { key, state: 'ok', links: [], desired: entries, actual: entries };
      },
    } as Partial<NetworkScope> as NetworkScope;
  }
}
