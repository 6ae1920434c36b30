/** What a check of a host is: it reads, and says what is wrong. */
import { FINDING_SEVERITIES, type Finding, type InspectionReport } from '../../api/inspection.ts';
import type { Family } from '../../base/ip.ts';
import type { Container } from '../host/containers.ts';
import type { HostReader } from '../host/host-reader.ts';

/** A command and its arguments. */
export type Command = readonly string[];

/** A finding as a check makes it: whose host it is, and whether it can be fixed, follows. */
export interface Cause extends Omit<Finding, 'host' | 'fixable'> {
  /** Commands, in order, that undo it and can do no harm; absent where a person has to decide. */
  readonly fix?: readonly Command[];
}

/** A finding with what `tulle check --fix` runs, which does not leave the host. */
export interface FixableFinding extends Finding {
  readonly fix?: readonly Command[];
}

export interface FixableReport extends InspectionReport {
  findings: FixableFinding[];
}

/** The worst first. */
export const bySeverity = (one: Pick<Finding, 'severity'>, other: Pick<Finding, 'severity'>): number =>
  FINDING_SEVERITIES.indexOf(one.severity) - FINDING_SEVERITIES.indexOf(other.severity);

/** Rejects when something could not be read; what it has not seen it does not judge. */
export type HostCheck = (host: HostReader) => Promise<Cause[]>;

/**
 * Stands in a reason, and in evidence, for the name of the host that is looked at: whoever reads it may be on another one.
 * No name and no rule of a kernel can have this character, so that their words stay as they are.
 */
export const HERE = '\0';

/** As it is said of the host of this name. */
export const saidOf = <T extends Pick<Cause, 'reason' | 'evidence'>>(name: string, cause: T): T => ({
  ...cause,
  reason: cause.reason.replaceAll(HERE, () => name),
  evidence: cause.evidence.map(line => line.replaceAll(HERE, () => name)),
});

/** A cause that commands undo: they are its remedy as well. */
export const fixedBy = (fix: readonly Command[], cause: Omit<Cause, 'remedy' | 'fix'>): Cause => ({
  ...cause,
  remedy: fix.map(commandText).join('; '),
  fix,
});

/** The same for a person to decide: the commands change what others may have meant so. */
export const byHand = (commands: readonly Command[], cause: Omit<Cause, 'remedy' | 'fix'>): Cause => ({
  ...cause,
  remedy: commands.map(commandText).join('; '),
});

/** The remedy for an entry of another program, which may make it again; the note is a comment of the shell. */
export const removing = (command: string): string => `${command}  # find out which program has made it`;

/** Run in the namespace of the container. */
export const inContainer = ({ enter }: Pick<Container, 'enter'>, ...command: Command): Command => [
  ...enter,
  ...command,
];

/** Words that a person can type, quoted where a shell would take them apart. */
export const commandText = (command: Command): string =>
  command
    .map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');

/** As sysctl(8) has it: a dot in the name of a link is a slash there. @param path `net/ipv4/conf/eth0.5/rp_filter` */
export const sysctlName = (path: string): string =>
  path
    .split('/')
    .map(part => part.replaceAll('.', '/'))
    .join('.');

/** `ip`, with what it needs to change or show entries of the family. */
export const ipCommand = (family: Family): string => (family === 'ipv6' ? 'ip -6' : 'ip');

export interface NamedCheck {
  /** For the report of one that fails. */
  readonly name: string;
  readonly check: HostCheck;
}
