/** Reports on what was applied: the data plane, the firewall and the subnet file as conditions, warnings and events. */

import { defined } from '../base/defined.ts';
import type { LinkReport, NetworkReport, Repair, WriterConflict } from '../dataplane/report.ts';
import type { FirewallState } from '../firewall/reconciler.ts';
import type { ForwarderState } from '../forwarder/managed-forwarder.ts';
import type { ManagedFileState } from '../sys/managed-file.ts';
import type { ConditionFailure, EventReporter, HealthReporter, OwnedWarning } from './reports.ts';

export class ApplyReporter {
  readonly #health: HealthReporter;
  readonly #events: EventReporter;
  #firewallRepairs = 0;
  /** Process id of the forwarder that ran last. */
  #forwarder: number | undefined;

  constructor(health: HealthReporter, events: EventReporter) {
    this.#health = health;
    this.#events = events;
  }

  /** Firewall rules that others had changed and that were repaired. */
  get firewallRepairs(): number {
    return this.#firewallRepairs;
  }

  /** @param conflict of whatever network: the data plane may be shared. */
  dataPlane(overlay: NetworkReport, conflict: WriterConflict | undefined): void {
    const { inSync, links, failed, failures } = overlay;
    const broken = links.find(link => !link.inSync);
    this.#health.report('dataplane', broken && deviceFailure(broken));
    const warnings: OwnedWarning[] = [];
    if (!inSync && broken === undefined && failed > 0) {
      const missing = failed === 1 ? '1 kernel entry is missing' : `${failed} kernel entries are missing`;
      warnings.push({
        id: 'failed',
        code: 'ENTRIES_FAILED',
        severity: 'warning',
        title: 'some peers cannot be reached',
        text: `${missing}, for example ${failures[0] ?? 'one that is tried again'}`,
      });
    }
    if (conflict !== undefined) {
      const { found = 'nothing', wanted } = conflict.latest;
      const latest =
        wanted === undefined ? `${found} where nothing should be` : `${found} instead of ${wanted}`;
      warnings.push(conflictWarning('kernel entries', conflict.repairs, latest));
    }
    this.#health.warn('dataplane', warnings);
  }

  /** Why the commands of the configuration could not set this host up, or leave. */
  commands(reason: string | undefined): void {
    this.#health.warn(
      'commands',
      reason === undefined
        ? []
        : [
            {
              id: 'failed',
              code: 'COMMAND_FAILED',
              severity: 'error',
              title: 'a command of the network configuration has failed on this host',
              text: reason,
              hint: 'correct it in the configuration, or what it needs on this host; the agent tries again by itself',
            },
          ],
    );
  }

  kernelUnreachable(cause: string): void {
    const reason = `the kernel does not answer: ${cause}`;
    this.#health.report('dataplane', { code: 'KERNEL_UNREACHABLE', reason });
  }

  repair({ others = 0, ...repair }: Repair): void {
    const { cause, object, action, found, wanted } = repair;
    const isDrift = cause === 'drift';
    const what = wanted ?? found ?? object;
    const before = wanted !== undefined && found !== undefined ? `, found: ${found}` : '';
    const more = others > 0 ? `, and ${others} more` : '';
    this.#events.add(
      isDrift ? 'warning' : 'info',
      isDrift ? 'drift-repaired' : 'state-repaired',
      `${action}: ${what}${before}${more}`,
      defined({ ...repair, others: others > 0 ? others : undefined }),
    );
  }

  /** @param state undefined where no forwarder is wanted. */
  forwarder(state: ForwarderState | undefined): void {
    const { pid, lastError, hint } = state ?? {};
    const isDown = state !== undefined && pid === undefined && lastError !== undefined;
    this.#health.warn('forwarder', isDown ? [forwarderDown(lastError, hint)] : []);
    if (pid !== undefined && this.#forwarder !== undefined && pid !== this.#forwarder) {
      this.#events.add('warning', 'state-repaired', 'the forwarder has ended and was started again', { pid });
    }
    this.#forwarder = state && (pid ?? this.#forwarder);
  }

  firewall({ ok, lastError, obstacles, conflict }: FirewallState): void {
    const reason = lastError ?? 'the rules are not in place';
    this.#health.report('firewall', ok ? undefined : { code: 'FIREWALL_FAILED', reason });
    const warnings: OwnedWarning[] = obstacles.map(({ id, text, hint }) => ({
      id,
      code: 'FIREWALL_OBSTACLE',
      severity: 'error',
      title: 'a firewall rule of another program stops traffic of the overlay',
      text,
      hint,
    }));
    if (conflict !== undefined) {
      warnings.push(conflictWarning('firewall rules', conflict.repairs, conflict.latest));
    }
    this.#health.warn('firewall', warnings);
  }

  /** @param failure why strangers cannot be refused */
  senderFilter(failure: string | undefined): void {
    const warning: OwnedWarning = {
      id: 'filter',
      code: 'SENDERS_NOT_CHECKED',
      severity: 'warning',
      title: 'tunnel packets are taken from any host',
      text: `Packets of hosts that are no peers cannot be refused: ${failure}.`,
      hint: 'install nftables, or give the agent --check-senders=false and keep strangers off the underlay',
    };
    this.#health.warn('senders', failure === undefined ? [] : [warning]);
  }

  firewallRepaired(repaired: readonly string[]): void {
    this.#firewallRepairs += repaired.length;
    for (const [what, { length }] of Map.groupBy(repaired, text => text)) {
      const times = length > 1 ? ` (${length} times)` : '';
      this.#events.add('warning', 'drift-repaired', `repaired: firewall, ${what}${times}`, {
        object: 'firewall',
      });
    }
  }

  subnetFile(path: string, { ok, lastError, owner }: ManagedFileState): void {
    if (ok) this.#health.report('subnet-file');
    else if (owner !== undefined) {
      this.#health.report('subnet-file', {
        code: 'SUBNET_FILE_NOT_OURS',
        reason: `${path} belongs to another network, ${owner}`,
        hint: 'give the agent a --subnet-file of its own, or remove the file when that overlay is gone; the agent then continues by itself',
      });
    } else if (lastError !== undefined) {
      this.#health.report('subnet-file', {
        code: 'SUBNET_FILE_NOT_WRITTEN',
        reason: `${path} could not be written: ${lastError}`,
      });
    }
  }

  /** Who reads the file reads it once: Docker and CNI go on with the former values until they are restarted. */
  subnetFileReplaced(path: string, before: string, after: string): void {
    const former = new Set(before.split('\n'));
    const changed = after.split('\n').filter(line => line !== '' && !former.has(line));
    const text = `${path} has changed: ${changed.join(' ')}; restart Docker to use it`;
    this.#events.add('warning', 'subnet-file-changed', text, { changed });
  }
}

function forwarderDown(cause: string, hint: string | undefined): OwnedWarning {
  return {
    id: 'down',
    code: 'FORWARDER_DOWN',
    severity: 'error',
    title: 'the program that moves the packets does not run',
    text: `containers cannot reach those of other hosts: ${cause}; it is started again`,
    ...defined({ hint }),
  };
}

function deviceFailure({ name, code, reason = 'is not ready', hint }: LinkReport): ConditionFailure {
  const why = { reason: `${name}: ${reason}`, ...(hint === undefined ? {} : { hint }) };
  return code === 'NOT_OURS' ? { code: 'DEVICE_NOT_OURS', ...why } : { code: 'DEVICE_FAILED', ...why };
}

/** @param what others change; @param repairs how often it was repaired; @param latest what was found then. */
function conflictWarning(what: string, repairs: number, latest: string): OwnedWarning {
  return {
    id: 'conflict',
    code: 'CONFLICTING_WRITER',
    severity: 'warning',
    title: `another program keeps changing ${what} of the overlay`,
    text: `${repairs} were repaired, now at most twice a second; last found: ${latest}`,
    hint: 'find and stop that program, perhaps another overlay agent or a network manager; `tulle events` lists what was changed',
  };
}
